"""The page to begin a run with: its curves, phases, groups, best and worst rollouts, why rollouts
fail, which tools they call, how long they are. And the page of a run in stages.

    page = render_run_index("grpo_vstar, seed 0", lines, summaries)

Everything comes from metrics.jsonl and rollouts/phases.jsonl, so it needs no server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.metrics_file import MetricsLine, curve_of, curves_of
from vigorl.core.stages_file import StageNote
from vigorl.pages.bars import bar_pairs, count_rows, outcome_colours, outcome_stack
from vigorl.pages.curves import Curve, Plot, plot_of
from vigorl.pages.html import render
from vigorl.pages.phases import PhaseSummary
from vigorl.pages.tallies import TOKENS_PER_BIN

# What decides a run, in the order of a page: title, (name in the key, metric) of each curve.
MAIN_CURVES: Mapping[str, Sequence[tuple[str, str]]] = {
    "accuracy": [("rollouts", "rollout/accuracy"), ("evaluation", "val/accuracy")],
    "reward": [("rollouts", "reward/total")],
    "loss of traces": [("evaluation", "val/nll"), ("training", "train/nll")],
    "zooms that hit": [("rollouts", "rollout/zoom_hit_frac"), ("evaluation", "val/zoom_hit_frac")],
    "valid format": [("rollouts", "rollout/valid_frac"), ("evaluation", "val/valid_frac")],
    "turns": [("rollouts", "rollout/turns_mean"), ("evaluation", "val/turns_mean")],
    "sampled tokens": [
        ("rollouts", "rollout/completion_tokens_mean"),
        ("evaluation", "val/completion_tokens_mean"),
    ],
    "entropy": [("training", "train/entropy")],
    "engine against trainer, KL": [("training", "kl/sampling_vs_train")],
    "gradient norm": [("training", "train/grad_norm")],
}
_COLOURS = {"rollouts": 0, "evaluation": 1, "training": 2}
_TILES = {
    "val/accuracy": "accuracy, evaluation",
    "rollout/accuracy": "accuracy, rollouts",
    "reward/total": "reward",
    "val/nll": "loss, evaluation",
    "train/nll": "loss, training",
    "rollout/zoom_hit_frac": "zooms that hit",
    "rollout/valid_frac": "valid format",
    "rollout/turns_mean": "turns",
}
_OVER_STAGES = {  # of each stage the first that it has
    "accuracy, evaluation": ("val/accuracy",),
    "accuracy, rollouts": ("rollout/accuracy",),
    "reward": ("reward/total",),
    "loss": ("val/nll", "train/nll"),
}
_MOST_OTHERS = 60  # further curves


@dataclass(frozen=True, slots=True)
class Tile:
    """A metric's last value; `aside` says where it comes from."""

    name: str
    value: str
    aside: str


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage of a run.

    Attributes:
        note: What it does.
        state: "done", "begun" or "waits".
        href: Its page; "" while there is none.
        lines: What it has measured.
    """

    note: StageNote
    state: str
    href: str
    lines: Sequence[MetricsLine]

    @property
    def phases(self) -> float:
        return self.lines[-1].phases if self.lines else 0

    @property
    def facts(self) -> list[Tile]:
        """Further numbers that decide."""
        return [one for one in _tiles(self.lines) if one.name != _TILES["val/accuracy"]][:3]

    @property
    def accuracy(self) -> tuple[str, str]:
        """On evaluation, before and after; "" where it was not measured."""
        points = curve_of(self.lines, "val/accuracy")
        first = _words("val/accuracy", points[0][1]) if points and points[0][0] == 0 else ""
        return first, _words("val/accuracy", points[-1][1]) if points else ""


def render_run_index(
    title: str,
    lines: Sequence[MetricsLine],
    summaries: Sequence[PhaseSummary],
    *,
    parent: str = "",
) -> str:
    """The page as one string of HTML.

    Args:
        title: Names the run.
        lines: What was measured, in order.
        summaries: Its generations, in order.
        parent: Address of the page of all stages; "" for a run without.
    """
    trained = [one for one in summaries if one.kind == "train"]
    counted = trained or list(summaries)
    with_pages = [one for one in summaries if one.page]
    latest = [
        next(one for one in reversed(with_pages) if one.kind == kind)
        for kind in ("train", "val")
        if any(one.kind == kind for one in with_pages)
    ]
    colours = outcome_colours(counted)
    first, last = (counted[0].tally, counted[-1].tally) if counted else (None, None)
    return render(
        "run_index.html.jinja",
        title=title,
        parent=parent,
        phases=lines[-1].phases if lines else 0,
        steps=lines[-1].step if lines else 0,
        tiles=_tiles(lines),
        plots=main_plots(lines),
        others=_other_plots(lines),
        pages=with_pages,
        latest=latest,
        counted=counted,
        stack=outcome_stack(counted, colours) if counted else None,
        outcomes=count_rows(counted, "outcomes", colours=colours) if counted else [],
        problems=count_rows(counted, "problems") if counted else [],
        tools=count_rows(counted, "tools") if counted else [],
        tool_errors=count_rows(counted, "tool_errors") if counted else [],
        histograms=[
            bar_pairs(first, last, part, title=words, xlabel=xlabel, unit=unit)
            for part, words, xlabel, unit in (
                ("turns", "turns", "turns of a rollout", 1),
                ("looks", "looks", "looks of a rollout", 1),
                ("tokens", "length", "sampled tokens of a rollout", TOKENS_PER_BIN),
            )
        ]
        if first and last
        else [],
    )


def render_stages(title: str, stages: Sequence[StageLine]) -> str:
    """The page of a run in stages, in their order."""
    return render(
        "stages.html.jinja",
        title=title,
        stages=stages,
        num_done=sum(one.state == "done" for one in stages),
        plots=[
            plot
            for name, metrics in _OVER_STAGES.items()
            if (plot := plot_of(name, _over_stages(stages, metrics), is_share=is_share(metrics[0])))
        ],
    )


def _over_stages(stages: Sequence[StageLine], metrics: Sequence[str]) -> list[Curve]:
    """A curve per stage, of the first of these metrics that it has, one after the other."""
    curves, before = list[Curve](), 0.0
    for number, one in enumerate(stages):
        found = next((points for name in metrics if (points := curve_of(one.lines, name))), ())
        points = tuple((before + phases, value) for phases, value in found)
        curves.append(Curve(f"{number + 1} {one.note.name}", points, colour=number))
        before += one.phases
    return curves


def main_plots(lines: Sequence[MetricsLine]) -> list[Plot]:
    """Those of `MAIN_CURVES` that there is something to draw of."""
    plots = []
    for title, named in MAIN_CURVES.items():
        curves = [
            Curve(name, curve_of(lines, metric), colour=_COLOURS[name]) for name, metric in named
        ]
        plots.append(plot_of(title, curves, is_share=is_share(named[0][1])))
    return [one for one in plots if one is not None]


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return metric.endswith("_frac") or metric.rpartition("/")[2].startswith("accuracy")


def _other_plots(lines: Sequence[MetricsLine]) -> list[Plot]:
    """Of all further metrics that ever changed."""
    shown = {metric for named in MAIN_CURVES.values() for _, metric in named}
    curves = [
        Curve(name, points)
        for name, points in curves_of(lines).items()
        if name not in shown and len({value for _, value in points}) > 1
    ][:_MOST_OTHERS]
    plots = [plot_of(one.name, [one], is_share=is_share(one.name)) for one in curves]
    return [one for one in plots if one is not None]


def _tiles(lines: Sequence[MetricsLine]) -> list[Tile]:
    found = [(name, metric, curve_of(lines, metric)) for metric, name in _TILES.items()]
    return [
        Tile(name, _words(metric, points[-1][1]), _aside(metric, points))
        for name, metric, points in found
        if points
    ]


def _aside(metric: str, points: Sequence[tuple[float, float]]) -> str:
    return f"from {_words(metric, points[0][1])}" if len(points) > 1 else ""


def _words(metric: str, value: float) -> str:
    return f"{100 * value:.0f} %" if is_share(metric) else f"{value:.3g}"
