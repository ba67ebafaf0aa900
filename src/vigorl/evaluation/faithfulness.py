"""Do the answers come from what was looked at? Scores with and without, in pairs.

    faithfulness = measure_faithfulness(rollouts, clusters)
    print(faithfulness.table())

Each row compares the rollouts that one probe was asked about with themselves under its change
(`core.contrast`); which change, and of which rollouts, each file of `rollout.probes` says.
Intervals are of 95 %, over whole clusters of questions.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vigorl.core.contrast import Contrast, contrasts_of
from vigorl.core.rewards.zoom import zoom_hits
from vigorl.core.rollout import Rollout
from vigorl.evaluation.resampling import drawn, expanded_interval, mean_of
from vigorl.evaluation.statistics import cluster_interval, difference_interval, mean_interval

_WORDS = {  # for the changes of the probes that ship
    "crop_black": "crops black",
    "crop_noise": "crops noise",
    "crop_other": "crops of another picture",
    "tool_off": "no tool",
    "forced_zoom": "looks moved onto the targets",
    "last_crop_alone": "the last look alone",
    "chain_answer": "thoughts without pictures",
    "zooms": "zooms that hit a target",
    "last_zoom": "last zooms that hit one",
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions, which each are the mean over their rollouts.

    Attributes:
        value: The mean.
        low: Lower end of the 95 % interval over clusters.
        high: Upper end.
        num_questions: n.
    """

    value: float
    low: float
    high: float
    num_questions: int


@dataclass(frozen=True, slots=True)
class ProbeEffect:
    """What one change does.

    Attributes:
        before: Score as it was, in [0, 1].
        after: Score under the change.
        difference: After minus before, question by question.
        changed: Share of rollouts whose answer is another one.
    """

    before: Interval
    after: Interval
    difference: Interval
    changed: Interval


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What the probes of an evaluation found.

    Attributes:
        probes: By the probe's name, in the order in which they were asked.
        hits: `zooms` is the share of a rollout's zooms that hit a target, `last_zoom` whether its
            last one does; of rollouts with a zoom on tasks with known targets, absent without.
    """

    probes: Mapping[str, ProbeEffect] = field(default_factory=dict)
    hits: Mapping[str, Interval] = field(default_factory=dict)

    def table(self) -> str:
        """As plain text, in percent and points; each change with the name of its probe."""
        names = {
            name: f"{_WORDS[name]} ({name})" if name in _WORDS else name for name in self.probes
        }
        width = max(28, *map(len, names.values()))
        lines = [
            f"{'':{width}}  as it was  changed  difference  95 % interval   other answer      n"
        ]
        for name, one in self.probes.items():
            d = one.difference
            lines.append(
                f"{names[name]:{width}}  {_percent(one.before):>9}  {_percent(one.after):>7}  "
                f"{100 * d.value:>+10.1f}  {_ends(d, '+.1f'):<14}  {_percent(one.changed):>12}  "
                f"{d.num_questions:>5}"
            )
        for name, one in self.hits.items():
            lines.append(
                f"{_WORDS[name]:{width}}  {_percent(one):>9}  {'':7}  {'':10}  "
                f"{_ends(one, '.1f'):<14}  {'':12}  {one.num_questions:>5}"
            )
        return "\n".join(lines) + "\n"

    def scalars(self) -> dict[str, float]:
        """For a logger: `faithfulness/<probe>_before`, `_after`, `_difference` with `_low` and
        `_high`, `_changed`; `faithfulness/<zooms or last_zoom>_hit`.
        """
        flat: dict[str, float] = {}
        for name, one in self.probes.items():
            numbers = {
                "before": one.before.value,
                "after": one.after.value,
                "difference": one.difference.value,
                "difference_low": one.difference.low,
                "difference_high": one.difference.high,
                "changed": one.changed.value,
            }
            flat |= {f"faithfulness/{name}_{key}": value for key, value in numbers.items()}
        return flat | {f"faithfulness/{name}_hit": one.value for name, one in self.hits.items()}


def measure_faithfulness(
    rollouts: Sequence[Rollout], clusters: Mapping[str, str]
) -> Faithfulness | None:
    """What the probes have found about some rollouts; None where none was asked.

    Args:
        rollouts: Of any questions, several of one counting as one.
        clusters: Of each task id.
    """
    found = [(rollout.task.id, contrasts_of(rollout.probes)) for rollout in rollouts]
    names = dict.fromkeys(name for _, contrasts in found for name in contrasts)
    if not names:
        return None
    of_probe = {
        name: [(task, contrasts[name]) for task, contrasts in found if name in contrasts]
        for name in names
    }
    return Faithfulness(
        {name: _effect(pairs, clusters) for name, pairs in of_probe.items()},
        _hits(rollouts, clusters),
    )


def _effect(pairs: Sequence[tuple[str, Contrast]], clusters: Mapping[str, str]) -> ProbeEffect:
    before = _by_question((task, one.before) for task, one in pairs)
    after = _by_question((task, one.after) for task, one in pairs)
    changed = _by_question((task, float(one.is_changed)) for task, one in pairs)
    x, y = list(after.values()), list(before.values())
    names = [clusters[task] for task in after]
    return ProbeEffect(
        before=_share(before, clusters),
        after=_share(after, clusters),
        difference=Interval(
            statistics.fmean(x) - statistics.fmean(y), *_difference(x, y, names), len(x)
        ),
        changed=_share(changed, clusters),
    )


def _difference(x: list[float], y: list[float], clusters: list[str]) -> tuple[float, float]:
    """Interval of mean(x) - mean(y): for scores of 0 and 1 of questions that each are a cluster
    Agresti and Min's, otherwise whole clusters are drawn.
    """
    num = len(set(clusters))
    if num == len(x) and {*x, *y} <= {0.0, 1.0}:
        return difference_interval(x, y)
    differences = mean_of(np.subtract(x, y)).of_clusters(clusters)
    return expanded_interval(drawn(differences, num), num)


def _hits(rollouts: Sequence[Rollout], clusters: Mapping[str, str]) -> dict[str, Interval]:
    hits = [
        (rollout.task.id, zoom_hits(rollout))
        for rollout in rollouts
        if rollout.task.target_boxes and rollout.crops
    ]
    if not hits:
        return {}
    return {
        "zooms": _share(_by_question((task, statistics.fmean(h)) for task, h in hits), clusters),
        "last_zoom": _share(_by_question((task, float(h[-1])) for task, h in hits), clusters),
    }


def _by_question(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of each task's rollouts, by its id."""
    found: dict[str, list[float]] = {}
    for task, value in values:
        found.setdefault(task, []).append(value)
    return {task: statistics.fmean(many) for task, many in found.items()}


def _share(means: Mapping[str, float], clusters: Mapping[str, str]) -> Interval:
    """Their mean, of numbers in [0, 1]."""
    names, values = [clusters[task] for task in means], list(means.values())
    num = len(set(names))
    if num == len(values):
        interval = mean_interval(values)
    else:
        interval = cluster_interval(drawn(mean_of(values).of_clusters(names), num), num)
    return Interval(statistics.fmean(values), *interval, len(values))


def _percent(one: Interval) -> str:
    return f"{100 * one.value:.1f} %"


def _ends(one: Interval, form: str) -> str:
    return f"[{100 * one.low:{form}}, {100 * one.high:{form}}]"
