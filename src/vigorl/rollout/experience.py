"""From finished rollouts to scored ones; `training.phase` makes what is learned of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import FINISHED, Progress
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, group_indices
from vigorl.core.spans import Kind, span


class RolloutScorer(Protocol):
    """A weighted sum of rewards, such as `core.rewards.composite`."""

    def breakdowns(
        self, rollouts: Sequence[Rollout], *, progress: Progress
    ) -> list[RewardBreakdown]: ...


def score_rollouts(
    rollouts: Iterable[Rollout], reward: RolloutScorer, *, progress: Progress = FINISHED
) -> list[ScoredRollout]:
    """Rewards without advantages, in order.

    Args:
        rollouts: Whole groups, which may be interleaved.
        reward: Scores each group.
        progress: How far the run is.
    Raises:
        ConfigError: A total is not finite; a sum of parts names the part before.
    """
    rollouts = list(rollouts)
    found: dict[int, RewardBreakdown] = {}
    with span(Kind.REWARD):
        for members in group_indices(rollouts):
            scores = reward.breakdowns([rollouts[i] for i in members], progress=progress)
            found.update(zip(members, scores, strict=True))
    for i, score in found.items():
        if not math.isfinite(score.total):
            raise ConfigError(
                f"reward: {type(reward).__name__} returned {score.total} for task "
                f"{rollouts[i].task.id!r}; a rollout's total must be a finite number"
            )
    return [ScoredRollout(rollout, found[i]) for i, rollout in enumerate(rollouts)]
