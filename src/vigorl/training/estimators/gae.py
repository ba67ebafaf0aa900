"""Generalized advantage estimation: what is paid, against what a critic expects before each token.

Observations stand between tokens and are no steps: values there are not read, and they neither
discount nor cut a rollout (verl pull request 2337; ROLL issue 447, where values at masked places
leaked; miles issue 1827, where a reward on a masked token was lost).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.ranges import Share, ShareAboveZero
from vigorl.training.estimators.estimator import Estimate, Estimator, Group, Rated, moments
from vigorl.training.estimators.return_to_go import token_rewards


class CriticEstimator(Estimator):
    """Credit from a critic's values; returns, which the critic learns, are advantage + value.

    Measured: `critic/explained_variance`, 1 - Var(return - value) / Var(return) over all sampled
    tokens of the phase and all ranks, absent where all returns are equal; and both means.
    """

    @property
    def needs_critic(self) -> bool:
        return True

    @property
    def refuses(self) -> frozenset[str]:
        return frozenset({"centre_shaping"})

    @abstractmethod
    def of_tokens(self, one: Rated, values: Sequence[float]) -> list[float]:
        """The advantages of a rollout's sampled tokens.

        Args:
            one: With N sampled tokens.
            values: [N] in units of the reward, each of what stood before its token.
        """

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        found = [[self._estimate(one) for one in group] for group in groups]
        explained = _explained_variance(groups, found)
        if explained is None:
            return found
        return [
            [one.measured({"critic/explained_variance": (explained, 1.0)}) for one in group]
            for group in found
        ]

    def _estimate(self, one: Rated) -> Estimate:
        values = values_of(one)
        advantages = self.of_tokens(one, values)
        returns = [a + value for a, value in zip(advantages, values, strict=True)]
        means = {
            "critic/value_mean": (math.fsum(values), float(len(values))),
            "critic/return_mean": (math.fsum(returns), float(len(values))),
        }
        return Estimate(one.by_turn(advantages), means, one.by_turn(returns))


@dataclass(frozen=True, slots=True, kw_only=True)
class GAE(CriticEstimator):
    """A_t = d_t + discount trace_decay A_{t+1}, d_t = r_t + discount V_{t+1} - V_t, over sampled
    tokens; V and A after the last one are 0.

    Attributes:
        discount: Per sampled token, in (0, 1].
        trace_decay: In [0, 1]: 1 takes what was really paid, 0 only the next token's value.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:1506.02438, eq. 16; `compute_gae_advantage_return` of verl at 1dda039b9 (both 1).
    """

    discount: ShareAboveZero = 1.0
    trace_decay: Share = 1.0

    def of_tokens(self, one: Rated, values: Sequence[float]) -> list[float]:
        return backwards(
            token_rewards(one), values, discount=self.discount, trace_decay=self.trace_decay
        )


def backwards(
    rewards: Sequence[float], values: Sequence[float], *, discount: float, trace_decay: float
) -> list[float]:
    """[N] the recursion of GAE over N steps, the last of which ends all."""
    found = [0.0] * len(rewards)
    advantage = following = 0.0
    for place in reversed(range(len(rewards))):
        error = rewards[place] + discount * following - values[place]
        advantage = error + discount * trace_decay * advantage
        found[place], following = advantage, values[place]
    return found


def values_of(one: Rated) -> tuple[float, ...]:
    """[N] what the critic expected before each sampled token."""
    assert one.readings is not None
    assert len(one.readings.values) == one.num_tokens
    return one.readings.values


def _explained_variance(
    groups: Sequence[Group], estimates: Sequence[Sequence[Estimate]]
) -> float | None:
    returns, left = [], []
    for group, found in zip(groups, estimates, strict=True):
        for one, estimate in zip(group, found, strict=True):
            own = [value for turn in estimate.returns for value in turn]
            returns += own
            left += [a - b for a, b in zip(own, values_of(one), strict=True)]
    whole, rest = moments(returns), moments(left)
    return 1 - rest.variance / whole.variance if whole.variance else None
