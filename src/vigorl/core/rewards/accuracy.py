"""The reward for the right answer, the only one the paper calls verifiable."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.rewards.answers import score_answer
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class AccuracyReward:
    """How right the final answer is: 0.0 or 1.0, and 0.5 for a half-right web action.

    Attributes:
        compare_typed_text: Whether a "type" action must also type the right text.
    """

    compare_typed_text: bool = False

    @property
    def name(self) -> str:
        return "accuracy"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        return score_answer(
            rollout.answer,
            rollout.task,
            view=rollout.prompt_views[0] if rollout.prompt_views else None,
            compare_typed_text=self.compare_typed_text,
        )
