"""ReMax: a reward against that of the greedy answer to the same prompt."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.rollout.probes.greedy import GREEDY_REWARD
from vigorl.training.estimators.estimator import Group, RolloutEstimator, rewards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstGreedy(RolloutEstimator):
    """A = r - r of the greedy rollout, which `probes=[greedy]` asks for, once per prompt.

    It needs no second rollout, and a group whose rewards are all equal still learns where the
    greedy one differs.

    Source: ReMax, arXiv:2310.10505, algorithm 2.
    """

    def compare(self, group: Group) -> list[float]:
        rewards = rewards_of(group, at_least=1)
        for one in group:
            if GREEDY_REWARD in one.rollout.probes:
                baseline = one.rollout.probes[GREEDY_REWARD]
                return [reward - baseline for reward in rewards]
        raise ValueError(
            "no rollout knows the greedy answer's reward: set probes=[greedy], with "
            "schedule.every=1 and schedule.num_rollouts=null"
        )
