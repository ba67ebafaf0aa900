"""GiGPO: beside whole rollouts, turns that were taken in the same state are compared.

A state is what the policy was shown last: the first turns of a prompt's rollouts share theirs;
later ones do where the crops are nearly the same. Where most turns are alone with their state it is
GRPO of the episode; `credit/singleton_frac` says how many are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vigorl.core.advantages import group_advantages
from vigorl.core.geometry import Box
from vigorl.core.ranges import NotNegative, ShareAboveZero
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import intersection_over_union
from vigorl.training.estimators.estimator import (
    Estimate,
    Estimator,
    Group,
    per_turn,
    rewards_of,
)
from vigorl.training.estimators.turn_returns import turn_returns


class _State(NamedTuple):
    """What was shown before a turn: a crop of a picture, or else a text."""

    name: str
    box: Box | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateGroups(Estimator):
    """A_k = A + step_weight A_k^step: A of the rollout in its group, A_k^step of the discounted
    return from turn k on among the group's turns in the same state; 0 of a turn that is alone.

    Attributes:
        discount: Of rewards per turn, in (0, 1].
        step_weight: At least 0.
        scale_by_std: Both are divided by the sample std of what they are compared with + 1e-6.
        min_iou: From which on two crops of one picture are one state, in (0, 1].
    Raises:
        ConfigError: A setting out of its range.
    Source: GiGPO, arXiv:2505.10978, eq. 7 to 10 (discount 0.95, weight 1; the release's
        `mean_norm` leaves out the division). States by crops are ours.
    """

    discount: ShareAboveZero = 0.95
    step_weight: NotNegative = 1.0
    scale_by_std: bool = True
    min_iou: ShareAboveZero = 0.9

    @property
    def refuses(self) -> frozenset[str]:
        return frozenset({"centre_shaping"})

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        return [self._of_group(group) for group in groups]

    def _of_group(self, group: Group) -> list[Estimate]:
        try:
            rewards = rewards_of(group)
        except ValueError as error:
            raise ValueError(f"group {group[0].rollout.group!r}: {error}") from error
        episodes = group_advantages(rewards, scale_by_std=self.scale_by_std)
        steps, num_alone = self._steps(group)
        found = []
        for one, episode, own, alone in zip(group, episodes, steps, num_alone, strict=True):
            credits = [episode + self.step_weight * step for step in own]
            metrics = {"credit/singleton_frac": (float(alone), float(len(own)))}
            found.append(Estimate(per_turn(one, credits), metrics))
        return found

    def _steps(self, group: Group) -> tuple[list[list[float]], list[int]]:
        """A^step of each turn, and how many turns of each rollout are alone with their state."""
        returns = [turn_returns(one, discount=self.discount) for one in group]
        found = [[0.0] * len(gains) for gains in returns]
        num_alone = [0] * len(group)
        for members in self._by_state([one.rollout for one in group]):
            if len(members) == 1:
                num_alone[members[0][0]] += 1
                continue
            gains = [returns[i][turn] for i, turn in members]
            steps = group_advantages(gains, scale_by_std=self.scale_by_std)
            for (i, turn), step in zip(members, steps, strict=True):
                found[i][turn] = step
        return found, num_alone

    def _by_state(self, rollouts: Sequence[Rollout]) -> list[list[tuple[int, int]]]:
        """(rollout, turn) of each state's turns."""
        states: list[tuple[_State, list[tuple[int, int]]]] = []
        for i, rollout in enumerate(rollouts):
            for turn in range(len(rollout.turns)):
                state = _state_before(rollout, turn)
                for known, members in states:
                    if self._are_same(known, state):
                        members.append((i, turn))
                        break
                else:
                    states.append((state, [(i, turn)]))
        return [members for _, members in states]

    def _are_same(self, one: _State, other: _State) -> bool:
        if one.name != other.name or (one.box is None) != (other.box is None):
            return False
        if one.box is None or other.box is None:
            return True
        return intersection_over_union(one.box, other.box) >= self.min_iou


def _state_before(rollout: Rollout, turn: int) -> _State:
    if not turn:
        return _State("start", None)
    last = rollout.turns[turn - 1]
    if not last.views:
        return _State(last.observation, None)
    view = last.views[-1]
    return _State(f"{view.source}", view.box)
