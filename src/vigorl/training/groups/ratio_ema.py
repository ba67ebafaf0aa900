"""GLM-V's planned oversampling: a phase asks as many prompts at once as the share of flat groups of
the phases before lets expect, and learns from those nearest to half right.

    expansion = 1 / (1 - share of flat groups)    a moving average over the phases

The cost of a phase is known before it starts: no refill loop, one round for all ranks. Where the
average is too low some places stay idle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vigorl.core.ranges import BelowOne, FromOne
from vigorl.training.groups.method import Choice, GroupFacts, GroupMethod, Metric


@dataclass(slots=True, kw_only=True)
class RatioEMA(GroupMethod):
    """A `GroupMethod` with a state: the moving average.

    Attributes:
        smoothing: Weight of the average so far when a phase measures a new expansion; in [0, 1).
            Not published; ours.
        max_expansion: The most prompts of a phase, times `plan.prompts_per_phase`; not published,
            ours: an all but solved data set would have a phase without end.
    Raises:
        ConfigError: A setting out of its range.
    Source: GLM-V, arXiv:2507.01006, "ratio-EMA" of its RLCS; the trainer is not released. There
        tiers of difficulty are re-weighted besides: see `training.samplers.solve_rate`.
    """

    smoothing: BelowOne = 0.5
    max_expansion: FromOne = 4.0
    _average: float = field(default=1.0, init=False)

    def num_prompts(self, facts: Sequence[GroupFacts], *, wanted: int, round: int) -> int:
        return math.ceil(wanted * min(self._average, self.max_expansion)) if round == 0 else 0

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        mixed = [one for one in facts if one.has_spread(Metric.ACCURACY)]
        needed = len(facts) / len(mixed) if mixed else self.max_expansion
        needed = min(needed, self.max_expansion)
        self._average = self.smoothing * self._average + (1 - self.smoothing) * needed
        nearest = sorted(mixed, key=lambda one: (abs(one.accuracy - 0.5), one.number))
        return Choice(tuple(one.number for one in nearest[:wanted]))

    def metrics(self) -> Mapping[str, tuple[float, float]]:
        return {"groups/expansion": (self._average, 1)}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._average = state["average"]
