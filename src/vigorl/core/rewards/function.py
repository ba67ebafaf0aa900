"""A plain function of a rollout as a reward, for a notebook's first try."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class FunctionReward:
    """`function(rollout)`; it states no range, so any finite number passes.

    Attributes:
        function: Pure; its name is the reward's.
    """

    function: Callable[[Rollout], float]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def range(self) -> tuple[float, float]:
        return (-math.inf, math.inf)

    def __call__(self, rollout: Rollout) -> float:
        return float(self.function(rollout))
