"""What stands between generation and credit: how many prompts a phase asks, and of which groups its
planned number of sequences is made.

    num_prompts -> generate, score -> facts of all ranks -> num_prompts ... 0 -> choose -> pick

A phase always learns from `prompts_per_phase` groups of `group_size` rollouts, so that the buffer
length that Lightning was told holds and every rank takes the same number of steps. Where fewer are
worth it, the others fill their places with an empty loss mask ("idle"): no credit, no gradient, not
counted by `token_mean`. `training.groups.collection` runs a method; the facts are those of all
ranks, so all ranks decide the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vigorl.core.ranges import check_ranges
from vigorl.core.rollout import Rollout, ScoredRollout, StopReason, TrainingSample

SMALLEST_SPREAD = 1e-6  # of scores and rewards; below it is rounding


class Metric(StrEnum):
    """What the rollouts of a group are compared by when groups are chosen.

    Filters look at raw accuracy, the estimator at the reward: a group that is all wrong but differs
    in a shaped term (length, format, a bonus) has a spread, and dividing by it makes advantages of
    full size out of noise. Measured by others: filtering on a shaped reward 0.04, no filter 0.10,
    filtering on correctness 0.75 (verl-recipe PR 125, GSM8K, length term, three seeds; also
    NeMo-RL issue 2431).
    """

    ACCURACY = "accuracy"  # the scorers' own score of the answer, in [0, 1]
    REWARD = "reward"  # the reward's total, as some released trainers do


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What every rank knows of a group.

    Attributes:
        number: Its place among the groups of the phase, over all ranks and rounds.
        rank: Where it was generated.
        accuracies: [G] scores of the answers, in [0, 1].
        rewards: [G] totals.
        is_whole: [G] False where a limit on tokens or a refusal ended the rollout.
    """

    number: int
    rank: int
    accuracies: tuple[float, ...]
    rewards: tuple[float, ...]
    is_whole: tuple[bool, ...]

    def values(self, metric: Metric | str) -> tuple[float, ...]:
        """[G] what the rollouts are compared by."""
        return self.accuracies if metric == Metric.ACCURACY else self.rewards

    def has_spread(self, metric: Metric | str) -> bool:
        """Whether the rollouts differ."""
        values = self.values(metric)
        return max(values) - min(values) > SMALLEST_SPREAD

    @property
    def accuracy(self) -> float:
        """Mean score."""
        return statistics.fmean(self.accuracies)


@dataclass(frozen=True, slots=True)
class Choice:
    """The groups of a phase that are learned from.

    Attributes:
        kept: Their numbers, at most as many as the phase has places.
        factor: Multiplies the advantages of the phase.
    """

    kept: tuple[int, ...]
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """When a phase's samples are filled up.

    Attributes:
        version: Updates that the policy has had.
        order: Seed, the phase in it.
    """

    version: int
    order: str


class GroupMethod:
    """A method that asks once, as planned, and keeps all; the methods change what they are about.

    State belongs into `state_dict`, of plain values: a checkpoint holds it, and a resumed run goes
    on as the uninterrupted one would have.
    """

    needs_old = False  # whether the algorithm must compare with the policy that sampled

    def __post_init__(self) -> None:
        """Of the dataclasses that most methods are."""
        check_ranges(self, "groups")

    def num_prompts(self, facts: Sequence[GroupFacts], *, wanted: int, round: int) -> int:
        """How many prompts to ask next, over all ranks; rounded up to a multiple of the ranks.

        Args:
            facts: Of all groups of the phase so far, of all ranks.
            wanted: Groups of a phase.
            round: From 0, where it is at least `wanted`; 0 prompts end the phase's generation.
        """
        return wanted if round == 0 else 0

    def rollouts_per_prompt(self, group_size: int) -> int:
        """How many rollouts of a prompt are generated, at least `group_size`."""
        return group_size

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        """The groups to learn from; called once per phase, on every rank with the same facts."""
        return Choice(tuple(one.number for one in facts)[:wanted])

    def pick(self, group: Sequence[ScoredRollout], *, group_size: int) -> list[int]:
        """The rollouts of a kept group that are credited, at least 2, at most `group_size`; their
        group is then these alone.
        """
        return list(range(group_size))

    def fill(
        self, samples: Sequence[TrainingSample], scored: Sequence[ScoredRollout], *, moment: Moment
    ) -> list[TrainingSample]:
        """The samples with other ones in idle places; all ranks call it together.

        Args:
            samples: Of this rank, one per place.
            scored: The rollouts that they are made from, credited.
            moment: When.
        """
        return list(samples)

    def metrics(self) -> Mapping[str, tuple[float, float]]:
        """(sum, count) by name, of the last phase, the same on every rank."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def is_whole(rollout: Rollout) -> bool:
    """Whether neither a limit on tokens nor a refusal ended it; the limit of turns may have."""
    return rollout.stop_reason not in (
        StopReason.TURN_LENGTH,
        StopReason.TOKEN_BUDGET,
        StopReason.REFUSED,
    )


def mixed_first(
    facts: Sequence[GroupFacts], metric: Metric | str, *, wanted: int
) -> tuple[int, ...]:
    """The first groups with a spread, in order, at most `wanted`."""
    return tuple(one.number for one in facts if one.has_spread(metric))[:wanted]
