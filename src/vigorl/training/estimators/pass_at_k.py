"""Pass@k: only a group's best rollout is learned from, by what it is better than the second."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfGroup(RolloutEstimator):
    """A of the best = (r_1 - r_2) / (std + eps), 0 of all others; ties are 0.

    Attributes:
        scale_by_std: False leaves out the division.
        eps: Added to the sample std, in reward units.
    Source: arXiv:2503.19595; `compute_grpo_passk_outcome_advantage` of verl at 1dda039b9.
    """

    scale_by_std: bool = True
    eps: NotNegative = 1e-6

    def compare(self, group: Group) -> list[float]:
        rewards = rewards_of(group)
        second, best = sorted(rewards)[-2:]
        scale = stdev(rewards) + self.eps if self.scale_by_std else 1.0
        found = [0.0] * len(rewards)
        found[rewards.index(best)] = (best - second) / scale
        return found
