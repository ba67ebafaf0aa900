"""REINFORCE++: what is paid from a token on, discounted, before it is whitened over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.ranges import ShareAboveZero
from vigorl.training.estimators.estimator import Estimate, Estimator, Group, Rated


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToGo(Estimator):
    """G_t = r_t + discount G_{t+1} over sampled tokens: observations in between neither discount
    nor cut it off (EasyR1 once lost the reward of all turns before the last; verl issue 7278).

    A token is paid minus its price of KL; the last one of a turn, what the turn is paid; the last
    one of all, the outcome.

    Attributes:
        discount: Per sampled token, in (0, 1].
    Raises:
        ConfigError: A discount out of its range.
    Source: REINFORCE++, arXiv:2501.03262;
        `compute_reinforce_plus_plus_outcome_advantage` of verl at 1dda039b9 (gamma 1).
    """

    discount: ShareAboveZero = 1.0

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        return [[Estimate(one.by_turn(self.returns(one))) for one in group] for group in groups]

    def returns(self, one: Rated) -> list[float]:
        """[N] of a rollout's sampled tokens."""
        rewards = token_rewards(one)
        following = 0.0
        for place in reversed(range(len(rewards))):
            following = rewards[place] + self.discount * following
            rewards[place] = following
        return rewards


def token_rewards(one: Rated) -> list[float]:
    """[N] what each sampled token is paid; their sum is `one.reward`."""
    found: list[float] = []
    costs = one.costs or [[0.0] * len(turn.completion_ids) for turn in one.rollout.turns]
    for cost, paid in zip(costs, one.turn_rewards(), strict=True):
        found += [-price for price in cost]
        if cost:
            found[-1] += paid + sum(cost)
    return found
