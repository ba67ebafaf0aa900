"""GPG: mean-only advantages, scaled up by the share of rewards that say something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.ranks import from_all_ranks
from vigorl.training.estimators.estimator import (
    Estimate,
    Estimator,
    Group,
    broadcast,
    rewards_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NonzeroScaled(Estimator):
    """A = alpha (r - mean), alpha = rollouts of the phase / those whose reward is not 0.

    With a format reward hardly a reward is 0, and alpha is 1: the scale is for bare accuracy.

    Source: GPG, arXiv:2504.02546; `compute_gpg_outcome_advantage` of verl at 1dda039b9 (f_norm 1).
    """

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        rewards = [rewards_of(group) for group in groups]
        own = [reward for group in rewards for reward in group]
        counts = from_all_ranks((len(own), sum(reward != 0 for reward in own)))
        alpha = sum(num for num, _ in counts) / max(sum(some for _, some in counts), 1)
        return [
            broadcast(group, [alpha * a for a in group_advantages(found, scale_by_std=False)])
            for group, found in zip(groups, rewards, strict=True)
        ]
