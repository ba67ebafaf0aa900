"""MAPO: between a z-score and a percentage, by how sure the group is."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.core.ranges import Finite, NotNegative
from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedDeviation(RolloutEstimator):
    """A = (1 - l) z + l (r - mean) / mean, l = 1 - 4 p (1 - p), p the share of rewards >= 0.5.

    Where nearly all are right, or nearly all wrong, l nears 1 and the spread, which is then small,
    no longer blows a difference up. What happens at a mean of 0 or below is not published; ours:
    the percentage is 0 there.

    Attributes:
        threshold: Reward from which on a rollout counts as solved.
        eps: Added to the sample std and to the mean, in reward units.
    Source: the MAPO option of Video-CoM's `grpo_trainer.py` at b58b6ce (arXiv:2511.23477).
    """

    threshold: Finite = 0.5
    eps: NotNegative = 1e-4

    def compare(self, group: Group) -> list[float]:
        rewards = rewards_of(group)
        mean = sum(rewards) / len(rewards)
        solved = sum(reward >= self.threshold for reward in rewards) / len(rewards)
        share = 1 - 4 * solved * (1 - solved)
        unit = 1 / (mean + self.eps) if mean > 0 else 0.0
        z = group_advantages(rewards, eps=self.eps)
        centred = group_advantages(rewards, scale_by_std=False)
        return [
            (1 - share) * score + share * unit * part
            for score, part in zip(z, centred, strict=True)
        ]
