"""VAGEN's reward-variance selection: of the groups that were generated, only those with the largest
spread are learned from, and the step is scaled by the root of their share.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.ranges import ShareAboveZero
from vigorl.training.groups.method import (
    SMALLEST_SPREAD,
    Choice,
    GroupFacts,
    GroupMethod,
    Metric,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSelection(GroupMethod):
    """A `GroupMethod` at no cost.

    Attributes:
        top_share: Share of the groups that is kept, at least one; in (0, 1].
        top_mass: In place of `top_share`: the fewest groups whose standard deviations add up to
            this share of all; in (0, 1].
        scale: Advantages are multiplied by sqrt(kept / all), as the loss is there: fewer groups, a
            noisier step, a smaller one. A KL term is not.
        metric: Whose spread counts.
    Raises:
        ConfigError: A setting out of its range.
    Source: mll-lab-nu/VAGEN 2936322 (top 20 %, or 0.9 of the spread's mass); arXiv:2510.16907.
    """

    top_share: ShareAboveZero = 0.2
    top_mass: ShareAboveZero | None = None
    scale: bool = True
    metric: Metric | str = Metric.REWARD

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        spreads = {one.number: statistics.pstdev(one.values(self.metric)) for one in facts}
        ranked = sorted(spreads, key=lambda number: (-spreads[number], number))
        ranked = [number for number in ranked if spreads[number] > SMALLEST_SPREAD]
        kept = ranked[: max(round(self.top_share * len(facts)), 1)]
        if self.top_mass is not None:
            kept = _up_to(self.top_mass, ranked, [spreads[number] for number in ranked])
        factor = math.sqrt(len(kept) / len(facts)) if self.scale and kept else 1.0
        return Choice(tuple(kept[:wanted]), factor)


def _up_to(share: float, numbers: Sequence[int], masses: Sequence[float]) -> list[int]:
    """The fewest first ones whose masses reach a share of all."""
    total, found = 0.0, list[int]()
    for number, mass in zip(numbers, masses, strict=True):
        if total >= share * math.fsum(masses) - SMALLEST_SPREAD:
            break
        total += mass
        found.append(number)
    return found
