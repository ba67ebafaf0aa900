"""One HTML page of two or more trainings: which settings differ, their curves on one plot with a
band over seeds, and the questions that both answered, with those that flipped side by side.

    page = render_runs_page(arms, settings, pairs, flips, images=store, num_flipped=12)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.metrics_file import MetricsLine, curve_of
from vigorl.data.images import ImageStore
from vigorl.pages.comparison import Flip, comparison_values
from vigorl.pages.curves import NUM_COLOURS, Curve, Plot, plot_of, spread_over
from vigorl.pages.html import render
from vigorl.pages.run_index import MAIN_CURVES, is_share

if TYPE_CHECKING:
    from vigorl.evaluation.comparison import Pair


@dataclass(frozen=True, slots=True)
class ArmCurves:
    """Runs that differ in nothing but the seed.

    Attributes:
        name: Of the arm.
        seeds: In words.
        evaluated: After how many phases the answers were given that are compared.
        runs: What each measured.
    """

    name: str
    seeds: str
    evaluated: str
    runs: Sequence[Sequence[MetricsLine]]


def render_runs_page(
    arms: Sequence[ArmCurves],
    settings: Mapping[str, Sequence[str]],
    pairs: Sequence[Pair],
    flips: Sequence[Flip],
    *,
    images: ImageStore,
    num_flipped: int,
) -> str:
    """The page as one string of HTML.

    Args:
        arms: At least two.
        settings: Those that differ, by key, and each arm's value.
        pairs: Comparisons of the questions that all of them answered.
        flips: The questions to show.
        images: Where pictures come from.
        num_flipped: Questions that differ in all comparisons together.
    """
    return render(
        "runs.html.jinja",
        **comparison_values(
            pairs,
            flips,
            images=images,
            title=" against ".join(one.name for one in arms),
            num_flipped=num_flipped,
        ),
        arms=arms,
        num_colours=NUM_COLOURS,
        settings=settings,
        plots=arm_plots(arms),
    )


def arm_plots(arms: Sequence[ArmCurves]) -> list[Plot]:
    """Each of the main curves that two arms have, with all arms on it."""
    plots = []
    for title, named in MAIN_CURVES.items():
        for source, metric in named:
            curves = [_curve(arm, metric, colour) for colour, arm in enumerate(arms)]
            if sum(bool(one.points) for one in curves) > 1:
                words = title if len(named) == 1 else f"{title}, {source}"
                plots.append(plot_of(words, curves, is_share=is_share(metric)))
    return [one for one in plots if one is not None]


def _curve(arm: ArmCurves, metric: str, colour: int) -> Curve:
    """The mean over seeds, in a band from the lowest to the highest, where all have a value."""
    found = [points for run in arm.runs if (points := curve_of(run, metric))]
    means, band = spread_over(found)
    return Curve(arm.name, means, band if len(found) > 1 else (), colour)
