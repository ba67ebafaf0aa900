"""A round that ends before all of its groups are whole, and what it leaves to the next one.

    left groups, then new ones -> collect until enough groups are whole -> those are learned from
                                                                        -> the others are left

Once it is over, turns that are being sampled become whole, and rollouts that are not done go on in
the next round under the weights of then. No token is thrown away, and long rollouts are no rarer
than they were: a group that has been left as often as it may be is waited for. Which groups are
whole first depends on the engine's time, but for the hf engine, whose order is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json


@dataclass(frozen=True, slots=True)
class LeftRollout:
    """One rollout of a group that was left.

    Attributes:
        rollout: Its whole turns; where it is not done its `stop_reason` says nothing.
        seed: Of its noise.
        is_done: It is only waiting for others of its group.
    """

    rollout: Rollout
    seed: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class LeftGroup:
    """A group that was left.

    Attributes:
        members: In order of their indices.
        num_rounds: Rounds that it has been in.
    """

    members: tuple[LeftRollout, ...]
    num_rounds: int

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        members = [[_line(one.rollout), one.seed, one.is_done] for one in self.members]
        return {"members": members, "num_rounds": self.num_rounds}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> LeftGroup:
        """The inverse of `plain`."""
        members = tuple(
            LeftRollout(rollout_from_json(line).scored.rollout, seed, is_done)
            for line, seed, is_done in plain["members"]
        )
        return cls(members, plain["num_rounds"])


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """When a round is over, of one rank.

    Attributes:
        enough: Groups that must be whole.
        max_rounds: Rounds that a group may be in; one in its last is waited for.
        left: Of the round before.
    """

    enough: int
    max_rounds: int
    left: Sequence[LeftGroup] = ()


@dataclass(slots=True)
class _Group:
    num_rounds: int  # with this one
    seeds: dict[int, int]  # by index
    done: dict[int, Rollout]

    @property
    def is_whole(self) -> bool:
        return len(self.done) == len(self.seeds)


class PartialRound:
    """Counts whole groups while a round is collected.

    Args:
        ends: When.
        environment: Of the dialogs that go on.
        new: Fresh dialogs of whole groups.
    Attributes:
        dialogs: To be collected: those that go on, then the new ones.
    """

    def __init__(self, ends: EarlyEnd, environment: Environment, new: Sequence[Dialog]) -> None:
        self._ends, self._groups = ends, dict[str, _Group]()
        self.dialogs: list[Dialog] = []
        for group in ends.left:
            found = _Group(group.num_rounds + 1, {}, {})
            for one in group.members:
                found.seeds[one.rollout.index] = one.seed
                if one.is_done:
                    found.done[one.rollout.index] = one.rollout
                else:
                    self.dialogs.append(environment.go_on(one.rollout, seed=one.seed))
            self._groups[group.members[0].rollout.group] = found
        for dialog in new:
            found = self._groups.setdefault(dialog.group, _Group(1, {}, {}))
            found.seeds[dialog.index] = dialog.seed
        self.dialogs += new

    def note(self, rollout: Rollout) -> None:
        """A rollout is done."""
        self._groups[rollout.group].done[rollout.index] = rollout

    def is_over(self) -> bool:
        """Whether enough groups are whole, and those that may not be left again."""
        groups = self._groups.values()
        num_whole = sum(group.is_whole for group in groups)
        may_wait = all(one.is_whole or one.num_rounds < self._ends.max_rounds for one in groups)
        return num_whole >= self._ends.enough and may_wait

    def split(
        self, unfinished: Sequence[Dialog], *, policy_version: int
    ) -> tuple[list[Rollout], list[LeftGroup]]:
        """The rollouts of the groups that are learned from, the oldest groups first, and what is
        left.

        Args:
            unfinished: The dialogs that are not done.
            policy_version: That sampled in this round.
        """
        open_ones = {(dialog.group, dialog.index): dialog for dialog in unfinished}
        learned, left = list[Rollout](), list[LeftGroup]()
        num_learned = 0
        for name, group in self._groups.items():
            if group.is_whole and num_learned < self._ends.enough:
                num_learned += 1
                learned += [group.done[index] for index in sorted(group.done)]
                continue
            members = [
                LeftRollout(
                    group.done.get(index)
                    or open_ones[name, index].so_far(policy_version=policy_version),
                    seed,
                    index in group.done,
                )
                for index, seed in sorted(group.seeds.items())
            ]
            left.append(LeftGroup(tuple(members), group.num_rounds))
        return learned, left


def _line(rollout: Rollout) -> str:
    return rollout_to_json(ScoredRollout(rollout, RewardBreakdown(0.0)), phase="left", run_seed=0)
