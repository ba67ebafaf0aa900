"""What an advantage estimator answers.

    groups of rated rollouts -> advantages -> Estimate, per rollout: a number per sampled token

Statistics over more than a group are over all ranks (`from_all_ranks`), and every rank calls as
often, whatever its own groups hold. An estimator is one file here and one YAML in
configs/algorithm/ that puts it beside a loss.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vigorl.core.ranges import check_ranges
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.ranks import from_all_ranks
from vigorl.training.readings import Reads, TokenReadings

TokenValues = Sequence[Sequence[float]]  # of each turn, its sampled tokens


@dataclass(frozen=True, slots=True)
class Rated:
    """A rollout and what it is compared by.

    Attributes:
        scored: The rollout with its reward as it was scored.
        reward: What counts: the total without the price of KL, shaped parts as the algorithm takes
            them.
        costs: The price of KL of each sampled token, by turn; contained in `reward`. Empty where
            none is paid in the reward.
        readings: What was read of its tokens; None where nothing was.
    """

    scored: ScoredRollout
    reward: float
    costs: TokenValues = ()
    readings: TokenReadings | None = None

    @property
    def rollout(self) -> Rollout:
        return self.scored.rollout

    @property
    def num_tokens(self) -> int:
        """Sampled ones."""
        return sum(len(turn.completion_ids) for turn in self.rollout.turns)

    def turn_rewards(self) -> list[float]:
        """[T] what each turn is paid, KL included; the last one has the outcome too, so that the
        sum is `reward`.
        """
        num = len(self.rollout.turns)
        paid = self.scored.reward.turns or (0.0,) * num
        costs = [sum(one) for one in self.costs] or [0.0] * num
        found = [own - cost for own, cost in zip(paid, costs, strict=True)]
        found[-1] = self.reward - sum(found[:-1])
        return found

    def by_turn(self, values: Sequence[float]) -> list[Sequence[float]]:
        """[N] numbers, one per sampled token, cut into turns."""
        return self.rollout.by_turn(values)


Group = Sequence[Rated]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rollout's sampled tokens are credited with.

    Attributes:
        values: Unitless, by turn.
        metrics: (sum, count) by name, to be added over rollouts.
        returns: In units of the reward, by turn: what a critic should have expected before each
            token; empty without a critic.
    """

    values: TokenValues
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    returns: TokenValues = ()

    def measured(self, metrics: Mapping[str, tuple[float, float]]) -> Estimate:
        """With these metrics too."""
        return replace(self, metrics={**self.metrics, **metrics})


class Estimator(ABC):
    """From a phase's groups to their advantages; pure but for what `from_all_ranks` brings."""

    def __post_init__(self) -> None:
        """Of the dataclasses that estimators are."""
        check_ranges(self, "algorithm.estimator")

    @property
    def reads(self) -> Reads:
        """What must be read of the tokens before."""
        return Reads.NOTHING

    @property
    def needs_critic(self) -> bool:
        """Whether it takes what a critic expects, and says what it should have expected."""
        return False

    @property
    def refuses(self) -> frozenset[str]:
        """Settings of the algorithm that would have no effect, or another meaning, beside it."""
        return frozenset()

    @abstractmethod
    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        """In the layout of `groups`; all ranks call it together, a rank without a group too.

        Raises:
            ValueError: Rewards that cannot be compared; names the group.
        """


class RolloutEstimator(Estimator):
    """One number per rollout, from its group alone."""

    @abstractmethod
    def compare(self, group: Group) -> list[float]:
        """The advantage of each rollout of a group.

        Raises:
            ValueError: Rewards that cannot be compared.
        """

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        return [broadcast(group, self._compare(group)) for group in groups]

    def _compare(self, group: Group) -> list[float]:
        try:
            return self.compare(group)
        except ValueError as error:
            raise ValueError(f"group {group[0].rollout.group!r}: {error}") from error


def broadcast(group: Group, advantages: Sequence[float]) -> list[Estimate]:
    """One number per rollout as that of all its sampled tokens."""
    return [
        Estimate([[advantage] * len(turn.completion_ids) for turn in one.rollout.turns])
        for one, advantage in zip(group, advantages, strict=True)
    ]


def per_turn(one: Rated, advantages: Sequence[float]) -> list[list[float]]:
    """[T] one number per turn as that of its sampled tokens."""
    of_turns = zip(one.rollout.turns, advantages, strict=True)
    return [[advantage] * len(turn.completion_ids) for turn, advantage in of_turns]


def rewards_of(group: Group, *, at_least: int = 2) -> list[float]:
    """What the rollouts of a group are compared by.

    Raises:
        ValueError: Fewer than `at_least`, or one is not finite.
    """
    rewards = [one.reward for one in group]
    if len(rewards) < at_least:
        raise ValueError(f"a group needs at least {at_least} rollouts to compare")
    if not all(map(math.isfinite, rewards)):
        raise ValueError(f"rewards must be finite, got {rewards}")
    return rewards


class Moments(NamedTuple):
    """Of a batch of numbers.

    Attributes:
        num: How many.
        mean: Their mean; 0.0 of none.
        variance: That of the sample, divided by num - 1; 0.0 of fewer than two.
    """

    num: int
    mean: float
    variance: float

    @property
    def population_variance(self) -> float:
        return self.variance * (self.num - 1) / self.num if self.num else 0.0


def moments(own: Sequence[float]) -> Moments:
    """Of the numbers of all ranks together; all ranks must call it, with none too.

    The squares are of differences from the mean, so that rewards that are nearly equal have no
    spread of rounding.
    """
    ranks = from_all_ranks((math.fsum(own), len(own)))
    num = sum(count for _, count in ranks)
    mean = math.fsum(total for total, _ in ranks) / num if num else 0.0
    squares = math.fsum(from_all_ranks(math.fsum((value - mean) ** 2 for value in own)))
    return Moments(num, mean, squares / (num - 1) if num > 1 else 0.0)
