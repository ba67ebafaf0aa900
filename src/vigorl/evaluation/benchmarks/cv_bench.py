"""CV-Bench's own metric (arXiv:2406.16860): half for its two-dimensional questions, of which each
source counts the same, and half for its three-dimensional ones.

lmms-eval reports the plain share of right answers, which is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vigorl.evaluation.metrics import SumMetric, counted, first_ratio
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.resampling import Sums

_SHARES = {"ADE20K": 0.25, "COCO": 0.25, "Omni3D": 0.5}  # 1/2 (1/2 (ADE20K + COCO) + Omni3D)


@dataclass(frozen=True)
class CvBenchScore(SumMetric):
    """The shares of right answers by the tag "source", weighted; NaN where a source is missing."""

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        scores = np.array([one.score for one in questions])
        are_in = [counted(questions, ("source", name)) for name in _SHARES]
        terms = np.stack([np.stack([one * scores, one], axis=-1) for one in are_in], axis=1)
        weights = np.array(list(_SHARES.values()))
        return Sums(
            terms.reshape(len(questions), -1),
            lambda sums: first_ratio(sums.reshape(*sums.shape[:-1], -1, 2)) @ weights,
        )
