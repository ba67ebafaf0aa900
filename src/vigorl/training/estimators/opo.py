"""OPO: a baseline weighted by length, which has the least variance where a token's gradient is as
large as any other's.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthWeighted(RolloutEstimator):
    """A = r - sum(len r) / sum(len), over the group; lengths are sampled tokens.

    Source: OPO, arXiv:2505.23585, eq. 8; `compute_opo_outcome_advantage` of verl at 1dda039b9.
    """

    def compare(self, group: Group) -> list[float]:
        rewards, lengths = rewards_of(group), [one.num_tokens for one in group]
        if max(rewards) == min(rewards) or not any(lengths):
            return [0.0] * len(rewards)
        weighed = sum(r * n for r, n in zip(rewards, lengths, strict=True)) / sum(lengths)
        return [reward - weighed for reward in rewards]
