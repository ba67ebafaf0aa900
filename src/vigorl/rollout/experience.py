"""From finished rollouts to scored ones; `training.phase` makes what is learned of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout


class RolloutScorer(Protocol):
    """A weighted sum of rewards, such as `core.rewards.composite`."""

    def breakdown(self, rollout: Rollout) -> RewardBreakdown: ...


def score_rollouts(rollouts: Iterable[Rollout], reward: RolloutScorer) -> list[ScoredRollout]:
    """Rewards without advantages, in order."""
    return [ScoredRollout(rollout, reward.breakdown(rollout)) for rollout in rollouts]
