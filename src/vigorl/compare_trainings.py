"""What `vigorl.compare` finds of trainings: arms, their curves and settings, and a paired
comparison of what they answered to the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vigorl.core.metrics_file import curve_of
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.evaluation.comparison import Pair, compare_all
from vigorl.flips import flips_between
from vigorl.pages.comparison import Flip
from vigorl.pages.run_comparison import ArmCurves, render_runs_page
from vigorl.training_runs import (
    EVALUATION,
    Arm,
    Questions,
    TrainingRun,
    arms_of,
    differing_settings,
    last_answers,
    report_of,
)

_LAST = {  # of the terminal's table: metric, what it is called
    "val/accuracy": "accuracy, evaluation",
    "rollout/accuracy": "accuracy, rollouts",
    "reward/total": "reward",
    "rollout/zoom_hit_frac": "zooms that hit",
    "val/nll": "loss, evaluation",
}
_MOST_SETTINGS = 12  # that differ, in the terminal

Answers = Sequence[tuple[int, Questions]]


@dataclass(frozen=True, slots=True)
class ComparedTrainings:
    """What was found.

    Attributes:
        arms: At least two.
        answers: Of each arm's runs, the evaluation that is compared.
        settings: Those that differ, by key, and each arm's value.
        pairs: The comparisons.
        flips: Questions to show.
    """

    arms: Sequence[Arm]
    answers: Sequence[Answers]
    settings: Mapping[str, Sequence[str]]
    pairs: list[Pair]
    flips: Sequence[Flip]

    @property
    def table(self) -> str:
        """Arms with their last numbers, and the settings that differ, as text."""
        rows = [("", *(arm.name for arm in self.arms)), ("runs", *(a.seeds for a in self.arms))]
        for metric, words in _LAST.items():
            cells = [_last(arm, metric) for arm in self.arms]
            rows += [(words, *cells)] if any(cells) else []
        shown = list(self.settings.items())[:_MOST_SETTINGS]
        rows += [(key, *(value[:40] for value in values)) for key, values in shown]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        hidden = len(self.settings) - len(shown)
        lines += [f"and {hidden} further settings that differ, on the page"] if hidden else []
        lines += [] if self.settings else ["no setting differs but the seed"]
        return "\n".join(lines) + "\n"

    @property
    def plain(self) -> dict[str, Any]:
        """For comparison.json."""
        return {
            "arms": {arm.name: [str(one.folder) for one in arm.runs] for arm in self.arms},
            "settings": dict(self.settings),
            "num_comparisons": len(self.pairs),
            "comparisons": [asdict(one) for one in self.pairs],
        }

    def page(self, images: ImageStore) -> str:
        """As HTML."""
        return render_runs_page(
            [
                ArmCurves(arm.name, arm.seeds, _evaluated(found), [one.lines for one in arm.runs])
                for arm, found in zip(self.arms, self.answers, strict=True)
            ],
            self.settings,
            self.pairs,
            self.flips,
            images=images,
            num_flipped=sum(one.found.num_better + one.found.num_worse for one in self.pairs),
        )


def compare_trainings(runs: Sequence[TrainingRun], *, most_flips: int) -> ComparedTrainings:
    """Every two arms of some runs.

    Args:
        runs: At least two.
        most_flips: Questions to show of each comparison.
    Raises:
        ConfigError: No question was asked of all of them.
        DataError: A record cannot be read.
    """
    arms = arms_of(runs)
    answers = last_answers(arms)
    reports = {arm.name: report_of(found) for arm, found in zip(arms, answers, strict=True)}
    pairs = compare_all({name: {EVALUATION: report} for name, report in reports.items()})
    by_name = {arm.name: found for arm, found in zip(arms, answers, strict=True)}
    flips = [
        flip
        for pair in pairs
        for flip in flips_between(
            pair,
            [reports[name] for name in (pair.before, pair.after)],
            find=lambda k, wanted, p=pair: _picked(by_name[(p.before, p.after)[k]], wanted),
            most=most_flips,
        )
    ]
    return ComparedTrainings(arms, answers, differing_settings(arms), pairs, flips)


def _picked(answers: Answers, wanted: Mapping[str, int]) -> dict[str, ScoredRollout]:
    every = {id: [one for _, questions in answers for one in questions[id]] for id in wanted}
    return {id: every[id][number] for id, number in wanted.items()}


def _last(arm: Arm, metric: str) -> str:
    """The last values of an arm's runs; "" where nothing was measured."""
    curves = [points for one in arm.runs if (points := curve_of(one.lines, metric))]
    return ", ".join(f"{points[-1][1]:.3g}" for points in curves)


def _evaluated(answers: Answers) -> str:
    numbers = sorted({phases for phases, _ in answers})
    words = ", ".join(map(str, numbers))
    return f"{words} phase{'' if numbers == [1] else 's'}"
