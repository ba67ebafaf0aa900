"""RLOO: a reward against the mean of the group's OTHER rollouts, which is an unbiased baseline."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut(RolloutEstimator):
    """A = r - mean of the others = G / (G - 1) (r - mean).

    It is never divided by a spread: that of the others is 0 where one of a group is right, and the
    advantage of that one then 1e6 (NeMo-RL issue 1518).

    Source: RLOO, arXiv:2402.14740; `compute_rloo_outcome_advantage` of verl at 1dda039b9.
    """

    def compare(self, group: Group) -> list[float]:
        rewards = rewards_of(group)
        if max(rewards) == min(rewards):
            return [0.0] * len(rewards)  # not a rounding residue
        total, others = sum(rewards), len(rewards) - 1
        return [reward - (total - reward) / others for reward in rewards]
