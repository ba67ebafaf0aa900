"""CV-Bench's own metric (arXiv:2406.16860): half for its two-dimensional questions, of which each
source counts the same, and half for its three-dimensional ones.

lmms-eval reports the plain share of right answers, which is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.evaluation.metrics import Mean, Metric
from vigorl.evaluation.report import QuestionOutcome


@dataclass(frozen=True)
class CvBenchScore(Metric):
    """1/2 (1/2 (ADE20K + COCO) + Omni3D), of the shares of right answers by the tag "source"."""

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        ade, coco, omni = (
            Mean(("source", name))(questions) for name in ("ADE20K", "COCO", "Omni3D")
        )
        return ((ade + coco) / 2 + omni) / 2
