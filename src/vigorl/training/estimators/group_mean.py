"""GRPO and Dr. GRPO: a reward against the mean of its group, in units of the group's spread."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.advantages import group_advantages
from vigorl.core.errors import ConfigError
from vigorl.core.ranges import NotNegative, check_ranges
from vigorl.training.estimators.estimator import Group, RolloutEstimator


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMean(RolloutEstimator):
    """A = (r - mean) / (max(std, min_std) + 1e-6); see `core.advantages.group_advantages`.

    Attributes:
        scale_by_std: False leaves out the division (Dr. GRPO, arXiv:2503.20783).
        min_std: The least spread that is divided by, in reward units.
    Raises:
        ConfigError: `min_std` below 0, or without effect.
    Source: GRPO, arXiv:2402.03300, eq. 3.
    """

    scale_by_std: bool = True
    min_std: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, "algorithm")
        if self.min_std and not self.scale_by_std:
            raise ConfigError("algorithm.min_std has no effect with algorithm.scale_by_std=false")

    def compare(self, group: Group) -> list[float]:
        return group_advantages(
            [one.reward for one in group], scale_by_std=self.scale_by_std, min_std=self.min_std
        )
