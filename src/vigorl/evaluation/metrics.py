"""The numbers that benchmarks are quoted by; a benchmark's YAML names them, the first one shown.

A metric is a frozen dataclass whose fields are its settings and that is called with outcomes:

    @dataclass(frozen=True)
    class Longest(Metric):
        def __call__(self, questions):
            return max(len(one.id) for one in questions)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.errors import DataError
from vigorl.evaluation.report import QuestionOutcome

CATEGORY = "category"


class Metric(ABC):
    """One number of many outcomes; it must not depend on their order, and may meet one outcome
    several times, since intervals draw questions with replacement.
    """

    @abstractmethod
    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        """The number; NaN where these questions have none, such as a share of nothing."""


def label(question: QuestionOutcome, by: str) -> str:
    """What a question says of itself: its category or one of its tags; "" where it is silent."""
    return question.category if by == CATEGORY else question.tags.get(by, "")


def parts_of(questions: Sequence[QuestionOutcome], by: str) -> dict[str, list[QuestionOutcome]]:
    """The questions by a label, in order of first appearance."""
    parts: dict[str, list[QuestionOutcome]] = {}
    for one in questions:
        parts.setdefault(label(one, by), []).append(one)
    return parts


@dataclass(frozen=True)
class Mean(Metric):
    """Every question counts the same (micro).

    Attributes:
        only: Label and value, such as {"category": "Depth"}: the questions that count; all when
            None.
    """

    only: tuple[str, str] | None = None

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        chosen = _chosen(questions, self.only)
        return _mean(chosen) if chosen else math.nan


@dataclass(frozen=True)
class MeanOf(Metric):
    """Every part counts the same (macro), however many questions it has.

    Attributes:
        by: "category", or a tag.
        only: Which questions count, as in `Mean`.
    """

    by: str = CATEGORY
    only: tuple[str, str] | None = None

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        questions = _chosen(questions, self.only)
        means = [_mean(part) for part in parts_of(questions, self.by).values()]
        return math.fsum(means) / len(means) if means else math.nan


@dataclass(frozen=True)
class Share(Metric):
    """How many of the questions have a label, whatever was answered.

    Attributes:
        of: Label and value, such as {"category": "open"}.
    """

    of: tuple[str, str]

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        by, value = self.of
        return math.fsum(label(one, by) == value for one in questions) / len(questions)


@dataclass(frozen=True)
class WeightedMean(Metric):
    """Questions count by what a label says: the sum of weighted scores over that of the weights.

    Attributes:
        by: "category", or a tag.
        weights: Of each of its values; above 0.
    """

    by: str
    weights: Mapping[str, float]

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        weights = [self.weights.get(label(one, self.by)) for one in questions]
        if None in weights:
            one = questions[weights.index(None)]
            raise DataError(
                f"question {one.id}: there is no weight for {self.by}={label(one, self.by)!r}"
            )
        known = [weight for weight in weights if weight is not None]
        scored = zip(known, questions, strict=True)
        return math.fsum(weight * one.score for weight, one in scored) / math.fsum(known)


@dataclass(frozen=True)
class Difference(Metric):
    """One metric minus another, of the same questions: paired where both are of the same clusters,
    since intervals draw those whole.
    """

    of: Metric
    minus: Metric

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        return self.of(questions) - self.minus(questions)


@dataclass(frozen=True)
class AllRight(Metric):
    """The share of sets of questions whose every question is wholly right: pairs, or the orders of
    one question's options. With several rollouts a question's score is their mean, and a set's the
    product of its questions' (right answers taken to be independent).

    Attributes:
        by: The tag that a set shares.
    """

    by: str

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        sets = parts_of(questions, self.by).values()
        return math.fsum(math.prod(q.score for q in one) for one in sets) / len(sets)


@dataclass(frozen=True)
class MeanExtra(Metric):
    """The mean of one of the questions' further numbers, over those that have it.

    Attributes:
        name: Its key among the extras.
    """

    name: str

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        found = [one.extras[self.name] for one in questions if self.name in one.extras]
        return math.fsum(found) / len(found) if found else math.nan


def _mean(questions: Sequence[QuestionOutcome]) -> float:
    return math.fsum(one.score for one in questions) / len(questions)


def _chosen(
    questions: Sequence[QuestionOutcome], only: tuple[str, str] | None
) -> Sequence[QuestionOutcome]:
    if only is None:
        return questions
    by, value = only
    return [one for one in questions if label(one, by) == value]
