"""Metrics of labels alone, with weights, and of two others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vigorl.core.errors import DataError
from vigorl.evaluation.metrics import SumMetric, counted, first_ratio, label
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.resampling import Sums


@dataclass(frozen=True)
class Share(SumMetric):
    """How many of the questions have a label, whatever was answered.

    Attributes:
        of: Label and value, such as ("category", "open").
        only: See `metrics.Mean`: of which questions.
    """

    of: tuple[str, str]
    only: tuple[str, str] | None = None

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        are_in = counted(questions, self.only)
        return Sums(np.stack([are_in * counted(questions, self.of), are_in], axis=-1), first_ratio)


@dataclass(frozen=True)
class WeightedMean(SumMetric):
    """Questions count by what a label says: the sum of weighted scores over that of the weights.

    Attributes:
        by: "category", or a tag.
        weights: Of each of its values, above 0.
        only: See `metrics.Mean`: of which questions.
        extra: One of the questions' further numbers in place of their scores; those without it are
            left out.
    """

    by: str
    weights: Mapping[str, float]
    only: tuple[str, str] | None = None
    extra: str = ""

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        values = [one.extras.get(self.extra) if self.extra else one.score for one in questions]
        is_there = np.array([value is not None for value in values])
        weights = np.array([self._weight(one) for one in questions])
        weights = weights * counted(questions, self.only) * is_there
        scores = np.array([value or 0.0 for value in values])
        return Sums(np.stack([weights * scores, weights], axis=-1), first_ratio)

    def _weight(self, one: QuestionOutcome) -> float:
        value = label(one, self.by)
        if value not in self.weights:
            raise DataError(f"question {one.id}: there is no weight for {self.by}={value!r}")
        return self.weights[value]


@dataclass(frozen=True)
class Difference(SumMetric):
    """One metric minus another; paired where questions of both share their clusters, since
    intervals draw those whole.
    """

    of: SumMetric
    minus: SumMetric

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        first, second = self.of.sums(questions), self.minus.sums(questions)
        width = first.terms.shape[-1]
        return Sums(
            np.concatenate([first.terms, second.terms], axis=-1),
            lambda sums: first.combine(sums[..., :width]) - second.combine(sums[..., width:]),
        )
