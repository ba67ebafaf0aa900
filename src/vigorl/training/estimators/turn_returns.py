"""Turn rewards without a critic: each turn is credited with what is paid from it on, against what
the rollouts of the group that reached it were paid from there on.

Rewards that are centred per turn and then summed over a rollout's own turns are not that: how many
baselines a rollout is charged would depend on when it stops, which is its own doing (verl issue
7244; on a task of four turns with a choice to stop, 47 % of the gradient was lost).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from vigorl.training.estimators.estimator import (
    Estimate,
    Estimator,
    Group,
    Rated,
    per_turn,
    rewards_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReturns(Estimator):
    """A_k = R_k - mean of R_k over the OTHER rollouts that have a turn k, R_k = sum_{j >= k} r_j.

    Where no other has one: the mean of the others' whole rewards. Both leave the expected gradient
    as it is, since neither depends on what the turn does.

    Source: the return-to-go form of MT-GRPO, arXiv:2505.11821, section 3.2, with a leave-one-out
        baseline (not published; ours).
    """

    @property
    def refuses(self) -> frozenset[str]:
        return frozenset({"centre_shaping"})

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        return [self._of_group(group) for group in groups]

    def _of_group(self, group: Group) -> list[Estimate]:
        try:
            rewards_of(group)
        except ValueError as error:
            raise ValueError(f"group {group[0].rollout.group!r}: {error}") from error
        returns = [turn_returns(one) for one in group]
        found = []
        for own, gains in enumerate(returns):
            others = [one for place, one in enumerate(returns) if place != own]
            found.append([gain - _baseline(others, turn) for turn, gain in enumerate(gains)])
        return [Estimate(per_turn(one, a)) for one, a in zip(group, found, strict=True)]


def turn_returns(one: Rated, *, discount: float = 1.0) -> list[float]:
    """[T] what a rollout is paid from each turn on, later turns discounted."""
    backwards = accumulate(
        reversed(one.turn_rewards()), lambda following, reward: reward + discount * following
    )
    return list(backwards)[::-1]


def _baseline(others: Sequence[Sequence[float]], turn: int) -> float:
    reached = [gains[turn] for gains in others if turn < len(gains)]
    return fmean(reached or [gains[0] for gains in others])
