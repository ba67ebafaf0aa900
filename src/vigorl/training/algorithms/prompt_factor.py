"""How much a prompt counts, as a factor on its advantages.

A factor on its REWARDS would cancel: a z-score takes no notice of it (RewardMap's difficulty weight
as released; x 1.5 moves z-scored advantages by no more than the eps of the division).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord


class PromptFactor(Protocol):
    """A number from 0 on per task."""

    def __call__(self, task: TaskRecord) -> float: ...


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

    factors: Mapping[str, float]
    tag: str = ""
    default: float | None = None

    def __post_init__(self) -> None:
        known = [*self.factors.values(), *([] if self.default is None else [self.default])]
        if not self.factors or min(known) < 0:
            raise ConfigError(
                f"algorithm.prompt_factor needs factors from 0 on, got {dict(self.factors)} and "
                f"default={self.default}"
            )

    def __call__(self, task: TaskRecord) -> float:
        """The factor.

        Raises:
            DataError: The task's value has none.
        """
        value = task.tags.get(self.tag, "") if self.tag else task.category
        factor = self.factors.get(value, self.default)
        if factor is None:
            raise DataError(
                f"task {task.id}: algorithm.prompt_factor has no factor for "
                f"{self.tag or 'category'}={value!r}; set algorithm.prompt_factor.default"
            )
        return factor
