"""The numbers that benchmarks are quoted by; a benchmark's YAML names them, the first one shown.

A metric is a frozen dataclass whose fields are its settings and that is called with outcomes:

    @dataclass(frozen=True)
    class Longest(Metric):
        def __call__(self, questions):
            return max(len(one.id) for one in questions)

One that needs questions only in sums over them is a `SumMetric`, for which intervals and tests are
a hundred times faster.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vigorl.evaluation.report import Accuracy, QuestionOutcome
from vigorl.evaluation.resampling import (
    Statistic,
    Sums,
    cluster_places,
    drawn,
    ratio,
    resampled_error,
)
from vigorl.evaluation.statistics import cluster_interval

CATEGORY = "category"
SAYS_YES, SAYS_NO = "says yes", "says no"  # extras: shares of a question's answers


class Metric(ABC):
    """One number of many outcomes; it must not depend on their order, and may meet one outcome
    several times, since intervals draw questions with replacement.
    """

    @abstractmethod
    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        """The number; NaN where these questions have none, such as a share of nothing."""

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums | None:
        """The number as sums over questions; None where it is something else."""
        return None


class SumMetric(Metric):
    """A metric that depends on questions only through sums over them."""

    @abstractmethod
    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        """Terms [n, m] of these n >= 1 questions, and what is made of their sums."""

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        return self.sums(questions).value if questions else math.nan


def label(question: QuestionOutcome, by: str) -> str:
    """What a question says of itself: its category or one of its tags; "" where it is silent."""
    return question.category if by == CATEGORY else question.tags.get(by, "")


def parts_of(questions: Sequence[QuestionOutcome], by: str) -> dict[str, list[QuestionOutcome]]:
    """The questions by a label, in order of first appearance."""
    parts: dict[str, list[QuestionOutcome]] = {}
    for one in questions:
        parts.setdefault(label(one, by), []).append(one)
    return parts


def clusters_of(questions: Sequence[QuestionOutcome]) -> list[str]:
    """[n] the name of each question's cluster; it is alone in it where nobody said."""
    return [one.cluster or one.id for one in questions]


def counted(questions: Sequence[QuestionOutcome], only: tuple[str, str] | None) -> np.ndarray:
    """[n] 1.0 for questions with this label and value, else 0.0; all count where None."""
    if only is None:
        return np.ones(len(questions))
    by, value = only
    return np.array([float(label(one, by) == value) for one in questions])


def first_ratio(sums: np.ndarray) -> np.ndarray:
    """The first of two sums over the second."""
    return ratio(sums[..., 0], sums[..., 1])


@dataclass(frozen=True)
class Mean(SumMetric):
    """Every question counts the same (micro).

    Attributes:
        only: Label and value, such as ("category", "Depth"): the questions that count; all when
            None.
    """

    only: tuple[str, str] | None = None

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        are_in = counted(questions, self.only)
        scores = np.array([one.score for one in questions])
        return Sums(np.stack([are_in * scores, are_in], axis=-1), first_ratio)


@dataclass(frozen=True)
class MeanOf(SumMetric):
    """Every part counts the same (macro), however many questions it has.

    Attributes:
        by: "category", or a tag.
        only: See `Mean`.
    """

    by: str = CATEGORY
    only: tuple[str, str] | None = None

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        places = cluster_places([label(one, self.by) for one in questions])
        terms = np.zeros((len(questions), places.max() + 1, 2))
        rows = np.arange(len(questions))
        are_in = counted(questions, self.only)
        scores = np.array([one.score for one in questions])
        terms[rows, places] = np.stack([are_in * scores, are_in], axis=-1)
        return Sums(terms.reshape(len(questions), -1), mean_of_parts)


def mean_of_parts(sums: np.ndarray) -> np.ndarray:
    """The parts that have a question; a draw may leave one without."""
    parts = sums.reshape(*sums.shape[:-1], -1, 2)
    means = first_ratio(parts)
    return ratio(np.nansum(means, axis=-1), (parts[..., 1] > 0).sum(axis=-1))


@dataclass(frozen=True)
class AllRight(SumMetric):
    """The share of sets of questions whose every question is wholly right: pairs, or the orders of
    one question's options. With several rollouts a question's score is their mean, and a set's the
    product of its questions' (right answers taken to be independent).

    Attributes:
        by: The tag that a set shares; a set lies within one cluster.
    """

    by: str

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        places = cluster_places([label(one, self.by) for one in questions])
        products = np.ones(places.max() + 1)
        np.multiply.at(products, places, [one.score for one in questions])
        _, first = np.unique(places, return_index=True)
        terms = np.zeros((len(questions), 2))
        terms[first] = np.stack([products, np.ones_like(products)], axis=-1)
        return Sums(terms, first_ratio)


@dataclass(frozen=True)
class MeanExtra(SumMetric):
    """The mean of one of the questions' further numbers, over those that have it.

    Attributes:
        name: Its key among the extras.
    """

    name: str

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        found = [one.extras.get(self.name) for one in questions]
        terms = [(0.0, 0.0) if value is None else (value, 1.0) for value in found]
        return Sums(np.array(terms), first_ratio)


@dataclass(frozen=True)
class _YesNo(SumMetric):
    """A number of questions with two options, one of which is the positive one, or of questions for
    a yes or no, whose extras `SAYS_YES` and `SAYS_NO` count the answers.

    An answer that is neither is no yes and no no: it misses a positive question and is no false
    alarm. Of several rollouts each counts its share.

    Attributes:
        positive: The text of the positive option; upper and lower case are the same.
        only: See `Mean`.
        labels: The tag that holds the right answers, in place of the data's own; questions without
            it are left out.
    """

    positive: str = "yes"
    only: tuple[str, str] | None = None
    labels: str = ""

    above: ClassVar[tuple[float, ...]]
    below: ClassVar[tuple[float, ...]]

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        are_in = counted(questions, self.only)
        terms = np.array([self._counts(one) for one in questions]) * are_in[:, None]
        above, below = np.array(self.above), np.array(self.below)
        return Sums(terms, lambda sums: ratio(sums @ above, sums @ below))

    def _counts(self, one: QuestionOutcome) -> tuple[float, ...]:
        """Right yes, false yes, positive questions, all, right no."""
        right = one.tags.get(self.labels, "") if self.labels else one.right_answer
        if not right:
            return (0.0,) * 5
        yes, no = self._said(one)
        if right.casefold() == self.positive.casefold():
            return (yes, 0.0, 1.0, 1.0, 0.0)
        return (0.0, yes, 0.0, 1.0, no)

    def _said(self, one: QuestionOutcome) -> tuple[float, float]:
        """The shares of a question's answers that are the positive option, and the other one."""
        if SAYS_YES in one.extras:
            return one.extras[SAYS_YES], one.extras[SAYS_NO]
        is_positive = one.right_answer.casefold() == self.positive.casefold()
        known = [chosen for chosen in one.chosen_options if chosen is not None]
        yes = sum((chosen == one.right_option) == is_positive for chosen in known)
        return yes / len(one.answers), (len(known) - yes) / len(one.answers)


@dataclass(frozen=True)
class YesNoAccuracy(_YesNo):
    """The share of right answers, also by other labels than those that scored them."""

    above = (1, 0, 0, 0, 1)
    below = (0, 0, 0, 1, 0)


@dataclass(frozen=True)
class Precision(_YesNo):
    """The share of "yes" that is right."""

    above = (1, 0, 0, 0, 0)
    below = (1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Recall(_YesNo):
    """The share of positive questions that are answered "yes"."""

    above = (1, 0, 0, 0, 0)
    below = (0, 0, 1, 0, 0)


@dataclass(frozen=True)
class F1(_YesNo):
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""

    above = (2, 0, 0, 0, 0)
    below = (1, 1, 1, 0, 0)


@dataclass(frozen=True)
class YesShare(_YesNo):
    """The share of all answers that are "yes"; half of POPE's questions are positive."""

    above = (1, 1, 0, 0, 0)
    below = (0, 0, 0, 1, 0)


@dataclass(frozen=True)
class PositionBias(SumMetric):
    """How much it matters where the right option stands: the spread over positions of the share of
    right answers among the questions whose right option stands there (RStd). 0 is no bias; luck
    alone gives a little more.

    Source: C. Zheng et al., arXiv:2309.03882, section 2.
    """

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        positions = max((one.options for one in questions), default=0)
        terms = np.zeros((len(questions), max(1, positions), 2))
        for row, one in zip(terms, questions, strict=True):
            if one.right_option is not None and one.chosen_options:
                hits = sum(chosen == one.right_option for chosen in one.chosen_options)
                row[one.right_option] = (hits / len(one.chosen_options), 1.0)
        return Sums(terms.reshape(len(questions), -1), _spread_of_parts)


def _spread_of_parts(sums: np.ndarray) -> np.ndarray:
    recalls = first_ratio(sums.reshape(*sums.shape[:-1], -1, 2))
    there = ~np.isnan(recalls)
    means = ratio(np.nansum(recalls, axis=-1), there.sum(axis=-1))
    squares = np.nansum((recalls - means[..., None]) ** 2, axis=-1)
    return np.sqrt(ratio(squares, there.sum(axis=-1)))


def choice_metrics(questions: Sequence[QuestionOutcome]) -> dict[str, float]:
    """What multiple-choice answers owe to the place of the options.

    Keys: `choice/position_bias` (see `PositionBias`), `choice/position_bias_by_luck` (what a policy
    without bias would show, from the number of questions per position), and per letter
    `choice/chosen_A_frac` (of all answers) and `choice/right_A_frac` (of the questions). Empty
    where no question has options.
    """
    asked = [one for one in questions if one.options > 1 and one.right_option is not None]
    if not asked:
        return {}
    letters = range(max(one.options for one in asked))
    right = np.bincount([one.right_option or 0 for one in asked], minlength=len(letters))
    answers = [chosen for one in asked for chosen in one.chosen_options]
    found = {"choice/position_bias": PositionBias()(asked)}
    found["choice/position_bias_by_luck"] = _spread_by_luck(asked, right[right > 0])
    for place in letters:
        name = chr(ord("A") + place) if place < 26 else str(place + 1)
        found[f"choice/chosen_{name}_frac"] = answers.count(place) / max(1, len(answers))
        found[f"choice/right_{name}_frac"] = float(right[place]) / len(asked)
    return found


def _spread_by_luck(questions: Sequence[QuestionOutcome], per_position: np.ndarray) -> float:
    """The spread of means of n_j questions each that all have one mean: the root of the mean of
    their variances, less what the mean of them all takes along.
    """
    variance = float(np.var([one.score for one in questions]))
    num = len(per_position)
    return math.sqrt(variance * float((1 / per_position).mean()) * (num - 1) / num)


def statistic_of(metric: Metric, questions: Sequence[QuestionOutcome]) -> tuple[Statistic, int]:
    """The metric by how often each cluster counts, and the number of clusters.

    A cluster that is drawn twice is two clusters to sums; any other metric is called with the
    questions of each draw, drawn twice as often.
    """
    clusters = clusters_of(questions)
    sums = metric.sums(questions)
    if sums is not None:
        rows = sums.of_clusters(clusters)
        return rows, len(rows.terms)
    groups: dict[str, list[QuestionOutcome]] = {}
    for name, one in zip(clusters, questions, strict=True):
        groups.setdefault(name, []).append(one)
    members = list(groups.values())

    def values(weights: np.ndarray) -> np.ndarray:
        return np.array([metric(_repeated(members, row)) for row in weights])

    return values, len(members)


def _repeated(
    groups: Sequence[Sequence[QuestionOutcome]], weights: np.ndarray
) -> list[QuestionOutcome]:
    return [
        one
        for group, times in zip(groups, weights, strict=True)
        for _ in range(int(times))
        for one in group
    ]


def measured(metric: Metric, questions: Sequence[QuestionOutcome]) -> Accuracy:
    """A metric with its 95 % interval and error over clusters: Wilson's interval for a mean of
    questions that each are a cluster, else a bootstrap that draws whole clusters.
    """
    if isinstance(metric, Mean):
        counts = counted(questions, metric.only)
        kept = [one for one, is_in in zip(questions, counts, strict=True) if is_in]
        if kept:
            return Accuracy.of([one.score for one in kept], clusters_of(kept))
    statistic, num = statistic_of(metric, questions)
    values = drawn(statistic, num)
    error = resampled_error(values, num)
    return Accuracy(
        metric(questions),
        *cluster_interval(values, num),
        num_questions=len(questions),
        num_clusters=num,
        error=None if math.isnan(error) else error,
    )
