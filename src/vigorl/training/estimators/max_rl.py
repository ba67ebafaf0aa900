"""MaxRL: deviations from the mean in units of the mean, so that a prompt that is seldom solved
pulls by one over its rate, as the likelihood of a right answer does.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxRL(RolloutEstimator):
    """A = (r - mean) / (mean + eps); 0 where the mean is 0. Rewards must not be negative.

    Attributes:
        eps: In reward units.
    Source: arXiv:2602.02710; `maxrl` of SkyRL at a9564572e (eps 1e-6).
    """

    eps: NotNegative = 1e-6

    def compare(self, group: Group) -> list[float]:
        rewards = rewards_of(group)
        if min(rewards) < 0:
            raise ValueError(f"MaxRL needs rewards from 0 on, got {min(rewards):g}")
        mean = sum(rewards) / len(rewards)
        return [a / (mean + self.eps) for a in group_advantages(rewards, scale_by_std=False)]
