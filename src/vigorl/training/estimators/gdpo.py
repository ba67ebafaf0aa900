"""GDPO: each part of a reward is compared by itself, so that no part drowns another.

What it does not do: groups in which the weighted sum is equal cancel less than it seems; the gain
is in the scale between parts and between groups. A part with a tiny spread gets its full weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Group, RolloutEstimator


@dataclass(frozen=True, slots=True, kw_only=True)
class ByParts(RolloutEstimator):
    """A = sum_k w_k z_k, z_k the z-score of part k in its group, w_k its weight in the reward.

    The z-score over the batch that follows in the paper is `batch_norm.BatchNormalized`.

    Attributes:
        eps: Added to the sample std of a part, in its units.
    Source: GDPO, arXiv:2601.05242, eq. 4 to 6; `compute_gdpo_outcome_advantage` of verl at
        1dda039b9 (eps 1e-6); `normalize_then_sum` of TRL 1.16 has 1e-4.
    """

    eps: NotNegative = 1e-6

    @property
    def refuses(self) -> frozenset[str]:
        # parts are compared before they are weighed: a KL has no total to be taken from
        return frozenset({"reward_kl_coef", "centre_shaping"})

    def compare(self, group: Group) -> list[float]:
        weights = group[0].scored.reward.weights
        if not weights:
            raise ValueError("GDPO needs a reward that states its weights, such as WeightedReward")
        found = [0.0] * len(group)
        for name, weight in weights.items():
            if weight:
                parts = [one.scored.reward.parts[name] for one in group]
                found = _added(found, weight, group_advantages(parts, eps=self.eps))
        return found


def _added(sums: Sequence[float], weight: float, values: Sequence[float]) -> list[float]:
    return [total + weight * value for total, value in zip(sums, values, strict=True)]
