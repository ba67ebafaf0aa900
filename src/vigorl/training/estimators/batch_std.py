"""Lite PPO and ScaleRL: the mean of the group, the spread of the whole batch.

One scale for all prompts: a group that is nearly all right or all wrong pulls as hard as its
rewards say, while the size of the advantages does not depend on the unit of the reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import (
    Estimate,
    Estimator,
    Group,
    broadcast,
    moments,
    rewards_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStd(Estimator):
    """A = (r - mean of the group) / (std of all rewards of the phase + eps), sample std.

    Attributes:
        eps: In reward units.
    Source: Lite PPO arXiv:2508.08221 section 4; `scale_rewards="batch"` of TRL 1.16 (eps 1e-4).
    """

    eps: NotNegative = 1e-4

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        rewards = [rewards_of(group) for group in groups]
        scale = moments([one for group in rewards for one in group]).variance ** 0.5 + self.eps
        return [
            broadcast(group, [a / scale for a in group_advantages(own, scale_by_std=False)])
            for group, own in zip(groups, rewards, strict=True)
        ]
