"""Which of two models is better, from two reports on the same questions.

    print(compare_reports(after, before))     # +12.0 points [+7.9, +16.1], p = 1e-08 ...

Everything is of the number that the benchmark is quoted by, and rests on its clusters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from vigorl.core.errors import ConfigError, DataError
from vigorl.data.plain import read_target
from vigorl.evaluation.metrics import Mean, Metric, clusters_of, counted, statistic_of
from vigorl.evaluation.protocol_words import told_differences
from vigorl.evaluation.report import EvaluationReport, QuestionOutcome
from vigorl.evaluation.resampling import (
    NUM_RESAMPLES,
    NUM_SWAPS,
    cluster_places,
    drawn,
    expanded_interval,
    resampled_error,
    swap_p_value,
    swapped,
)
from vigorl.evaluation.statistics import (
    clustered_error,
    difference_interval,
    holm,
    paired_p_value,
)

POWER = 0.8
_NUMBERS = (
    "difference", "low", "high", "p_value", "smallest", "num_better", "num_worse",
    "num_questions", "num_clusters",
)  # fmt: skip
_ACCURACY = ("accuracy", Mean())  # what a report without a benchmark is quoted by


@dataclass(frozen=True, slots=True)
class Comparison:
    """Report a minus report b.

    Attributes:
        difference: Of the metric; positive when a has more of it.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p_value: Two-sided, of "the two are equally good".
        smallest: The smallest true difference that such a comparison would find four times in five;
            None where one cluster alone says nothing of it.
        num_better: Questions on which a scored more.
        num_worse: Questions on which b scored more.
        num_questions: All.
        num_clusters: What the interval rests on.
        metric: The name of what is compared.
        protocol_differences: In which settings the two were measured otherwise, each in words, with
            its dotted key and both values (b's first).
    """

    difference: float
    low: float
    high: float
    p_value: float
    smallest: float | None
    num_better: int
    num_worse: int
    num_questions: int
    num_clusters: int
    metric: str = "accuracy"
    protocol_differences: tuple[str, ...] = ()

    @property
    def numbers(self) -> dict[str, float]:
        """What a logger takes."""
        found = {name: getattr(self, name) for name in _NUMBERS}
        return {name: float(value) for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        text = (
            f"{100 * self.difference:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}], "
            f"p = {self.p_value:.3g} ({self.num_better} better, {self.num_worse} worse "
            f"of {self.num_questions})"
        )
        if self.protocol_differences:
            text += f"\nthe protocols differ: {'; '.join(self.protocol_differences)}"
        return text


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on one benchmark.

    Attributes:
        benchmark: Its name.
        before, after: Names of the two models; the difference is after minus before.
        value_before, value_after: Of the metric.
        found: The comparison.
        p_together: Its p-value as it holds for all pairs that were compared together (Holm).
    """

    benchmark: str
    before: str
    after: str
    value_before: float
    value_after: float
    found: Comparison
    p_together: float


def compare_all(
    reports: Mapping[str, Mapping[str, EvaluationReport]], *, allow_other_protocol: bool = False
) -> list[Pair]:
    """Every two models on every benchmark that both were measured on, the later minus the earlier.

    Args:
        reports: By model, in order, and by benchmark.
        allow_other_protocol: See `compare_reports`.
    Raises:
        ConfigError: Two models share no benchmark, or as `compare_reports`.
    """
    pairs = []
    for (before, mine), (after, theirs) in itertools.combinations(reports.items(), 2):
        common = [name for name in mine if name in theirs]
        if not common:
            raise ConfigError(
                f"{before} and {after} share no benchmark: {', '.join(mine)} against "
                f"{', '.join(theirs)}"
            )
        for name in common:
            found = compare_reports(
                theirs[name], mine[name], allow_other_protocol=allow_other_protocol
            )
            values = (_value(mine[name]), _value(theirs[name]))
            pairs.append(Pair(name, before, after, *values, found, p_together=found.p_value))
    together = holm([one.found.p_value for one in pairs])
    return [replace(one, p_together=p) for one, p in zip(pairs, together, strict=True)]


def _value(report: EvaluationReport) -> float:
    _, metric = locked_metric(report)
    return metric(report.questions)


def flipped(before: EvaluationReport, after: EvaluationReport, most: int) -> list[str]:
    """Ids of questions on which two models differ: those that became worse and those that became
    better by turns, the largest differences first.
    """
    pairs = zip(before.questions, paired(before, after), strict=True)
    changes = {x.id: y.score - x.score for x, y in pairs if x.score != y.score}
    ordered = sorted(changes, key=lambda name: -abs(changes[name]))
    worse = [name for name in ordered if changes[name] < 0]
    better = [name for name in ordered if changes[name] > 0]
    by_turns = itertools.chain.from_iterable(itertools.zip_longest(worse, better))
    return [name for name in by_turns if name is not None][:most]


def compare_reports(
    a: EvaluationReport, b: EvaluationReport, *, allow_other_protocol: bool = False
) -> Comparison:
    """Report a minus report b by the benchmark's first metric.

    For scores of 0 and 1 and questions that each are a cluster the interval is Agresti and Min's
    and p is McNemar's exact one; otherwise whole clusters are drawn, and swapped between the two.

    Args:
        a: A report.
        b: Another one.
        allow_other_protocol: Compare what was measured otherwise, and say so.
    Raises:
        ConfigError: Other questions; or another protocol, whose differing settings are named.
        DataError: A report's metric cannot be read, or its questions have no such number.
    """
    differing = protocol_differences(a, b)
    if differing and not allow_other_protocol:
        raise ConfigError(
            "\n".join(
                [
                    f"the two reports of {a.name!r} were measured by different protocols:",
                    *(f"    {one}" for one in differing),
                    "measure both the same way, or allow it with --allow-other-protocol, which "
                    "marks the result",
                ]
            )
        )
    mine, theirs = list(a.questions), paired(a, b)
    name, metric = locked_metric(a)
    if math.isnan(metric(mine)) or math.isnan(metric(theirs)):
        raise DataError(
            f"the two reports of {a.name!r} cannot be compared: these {len(mine)} questions have "
            f"no {name!r}, which the benchmark is quoted by, in one of them at least (was limit "
            "set?)"
        )
    if isinstance(metric, Mean):
        kept = np.flatnonzero(counted(mine, metric.only))
        found = _of_means([mine[i] for i in kept], [theirs[i] for i in kept])
    else:
        found = _of_metric(metric, mine, theirs)
    return replace(found, metric=name, protocol_differences=tuple(differing))


def protocol_differences(a: EvaluationReport, b: EvaluationReport) -> list[str]:
    """In which settings two reports were measured otherwise, in words, b's value before a's; a
    report that does not say how is like another such one alone.
    """
    if a.protocol is None or b.protocol is None:
        return [] if a.protocol is b.protocol else ["protocol (one report has none)"]
    if a.protocol.fingerprint == b.protocol.fingerprint:
        return []
    return told_differences(b.protocol, a.protocol)


def paired(a: EvaluationReport, b: EvaluationReport) -> list[QuestionOutcome]:
    """The questions of b in the order of a's.

    Raises:
        ConfigError: They are not the same questions; names some of the others.
    """
    theirs = {question.id: question for question in b.questions}
    odd = sorted(theirs.keys() ^ {question.id for question in a.questions})
    if odd:
        raise ConfigError(
            f"{a.name!r} and {b.name!r} differ in {len(odd)} questions, such as {odd[:3]}; give "
            "both evaluations the same data, split, limit and seed"
        )
    return [theirs[question.id] for question in a.questions]


def locked_metric(report: EvaluationReport) -> tuple[str, Metric]:
    """What the report's benchmark is quoted by, and what it is called; the accuracy without one.

    Raises:
        DataError: It is of a package that is not imported.
    """
    settings: Any = (report.protocol.settings if report.protocol else {}).get("benchmark") or {}
    metrics = settings.get("metrics")
    if not metrics:
        return _ACCURACY
    name = next(iter(metrics))
    try:
        return name, read_target(metrics[name], Metric, name="metric")
    except ValueError as error:
        raise DataError(f"the report of {report.name!r} cannot be compared: {error}") from error


def _of_means(a: Sequence[QuestionOutcome], b: Sequence[QuestionOutcome]) -> Comparison:
    clusters = clusters_of(a)
    x, y = [one.score for one in a], [one.score for one in b]
    differences = np.subtract(x, y)
    found = _of_metric(Mean(), a, b)
    error = clustered_error(differences.tolist(), clusters)
    found = replace(found, smallest=_smallest(error, found.difference, found.num_clusters))
    if found.num_clusters == len(a) and {*x, *y} <= {0.0, 1.0}:
        low, high = difference_interval(x, y)
        return replace(found, low=low, high=high, p_value=paired_p_value(x, y))
    return found


def _of_metric(
    metric: Metric, a: Sequence[QuestionOutcome], b: Sequence[QuestionOutcome]
) -> Comparison:
    b = [replace(one, cluster=other.cluster) for one, other in zip(b, a, strict=True)]
    of_a, num = statistic_of(metric, a)
    of_b, _ = statistic_of(metric, b)
    values = drawn(lambda weights: of_a(weights) - of_b(weights), num)
    difference = metric(a) - metric(b)
    low, high = expanded_interval(values, num)
    if high - low < 1e-12:  # no cluster tells them apart: one of two more might
        low, high = difference - _one_unseen(num), difference + _one_unseen(num)
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=_swap_p_value(metric, a, b),
        smallest=_smallest(resampled_error(values, num), difference, num),
        num_better=sum(x.score > y.score for x, y in zip(a, b, strict=True)),
        num_worse=sum(x.score < y.score for x, y in zip(a, b, strict=True)),
        num_questions=len(a),
        num_clusters=num,
    )


def _swap_p_value(
    metric: Metric, a: Sequence[QuestionOutcome], b: Sequence[QuestionOutcome]
) -> float:
    sums_a, sums_b = metric.sums(a), metric.sums(b)
    clusters = clusters_of(a)
    if sums_a is not None and sums_b is not None and sums_a.terms.shape == sums_b.terms.shape:
        return swap_p_value(*swapped(sums_a.of_clusters(clusters), sums_b.of_clusters(clusters)))
    places = cluster_places(clusters)

    def differences(swaps: np.ndarray) -> np.ndarray:
        return np.array([_swapped_difference(metric, a, b, row[places]) for row in swaps])

    num_swaps = min(NUM_SWAPS, NUM_RESAMPLES)  # the metric is a Python function
    return swap_p_value(differences, int(places.max()) + 1, num_swaps=num_swaps)


def _swapped_difference(
    metric: Metric,
    a: Sequence[QuestionOutcome],
    b: Sequence[QuestionOutcome],
    swaps: np.ndarray,
) -> float:
    pairs = list(zip(a, b, swaps, strict=True))
    return metric([y if swap else x for x, y, swap in pairs]) - metric(
        [x if swap else y for x, y, swap in pairs]
    )


def _one_unseen(num_clusters: int) -> float:
    """Half the interval of no difference in C clusters, after Agresti and Min: z / (C + 2)."""
    return float(stats.norm.ppf(0.975)) / (num_clusters + 2)


def _smallest(error: float, difference: float, num_clusters: int) -> float | None:
    """(z_0.975 + z_0.8) standard errors of a difference that is 0, from the disagreement observed:
    for scores of 0 and 1 it is 2.8 sqrt(share of questions that disagree / n).
    """
    if math.isnan(error):
        return None
    spread = math.sqrt(error**2 + difference**2 / (num_clusters - 1))
    factor = float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER))
    return factor * (spread or 1 / (num_clusters + 2))
