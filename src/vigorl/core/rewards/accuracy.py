"""The reward for the right answer, the only one the paper calls verifiable."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class AccuracyReward:
    """How right the final answer is, by the task's scorer."""

    @property
    def name(self) -> str:
        return "accuracy"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        return rollout.score
