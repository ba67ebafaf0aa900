"""How much a prompt counts, as a factor on its advantages.

A factor on its REWARDS would cancel: a z-score takes no notice of it (RewardMap's difficulty weight
as released; x 1.5 moves z-scored advantages by no more than the eps of the division).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.ranges import NotNegative, Positive, check_ranges
from vigorl.core.rollout import Rollout


class PromptFactor(Protocol):
    """A number from 0 on per prompt."""

    def __call__(self, rollouts: Sequence[Rollout]) -> float:
        """Of the prompt of these rollouts, which are its whole group."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTag:
    """The factor of a task's tag, or of its category.

    Attributes:
        factors: By value, each from 0 on.
        tag: Which of `TaskRecord.tags`; "" takes `TaskRecord.category`.
        default: Of values that are not named; None refuses them.
    Raises:
        ConfigError: No factor, or one below 0.
    Source: RewardMap, arXiv:2510.02240 (map weight + question weight: 1.0 / 1.2 / 1.5 for easy,
        middle, hard, + 0.5 where a change of lines is needed; `reason_map.py` at 15428ac).
    """

    factors: Mapping[str, NotNegative]
    tag: str = ""
    default: NotNegative | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "algorithm.prompt_factor")
        if not self.factors or min(self.factors.values()) < 0:
            raise ConfigError(
                f"algorithm.prompt_factor needs factors from 0 on, got {dict(self.factors)}"
            )

    def __call__(self, rollouts: Sequence[Rollout]) -> float:
        """The factor.

        Raises:
            DataError: The task's value has none.
        """
        task = rollouts[0].task
        value = task.tags.get(self.tag, "") if self.tag else task.category
        factor = self.factors.get(value, self.default)
        if factor is None:
            raise DataError(
                f"task {task.id}: algorithm.prompt_factor has no factor for "
                f"{self.tag or 'category'}={value!r}; set algorithm.prompt_factor.default"
            )
        return factor


@dataclass(frozen=True, slots=True, kw_only=True)
class ByProbe:
    """The mean of a probe's number over the group, at most `most`; at 0 nothing is learned from it.

    Attributes:
        number: Its name among `Rollout.probes`.
        most: The factor's upper bound, above 0.
        default: Of groups about which the probe had nothing to ask; None refuses them.
    Raises:
        ConfigError: A setting out of its range.
    Source: PEARL, arXiv:2511.18437: A min(mean checklist reward, 0.5). There a mean of 0 is known
        before the rollouts, which then are not made; here they are, since probes come after them.
    """

    number: str
    most: Positive = 0.5
    default: NotNegative | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "algorithm.prompt_factor")
        if not self.number:
            raise ConfigError("algorithm.prompt_factor needs the number of a probe, by name")

    def __call__(self, rollouts: Sequence[Rollout]) -> float:
        """The factor.

        Raises:
            DataError: No rollout has the number.
        """
        found = [one.probes[self.number] for one in rollouts if self.number in one.probes]
        if found:
            return min(max(fmean(found), 0.0), self.most)
        if self.default is None:
            raise DataError(
                f"task {rollouts[0].task.id}: no probe has found {self.number!r}, which "
                "algorithm.prompt_factor reads; set algorithm.prompt_factor.default"
            )
        return self.default
