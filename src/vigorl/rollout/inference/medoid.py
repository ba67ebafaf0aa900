"""The point in the middle of where most samples point.

Source: ours. Systems that act on screens, such as GTA1, arXiv:2507.05791, ask a judge to choose
among proposals (`choice_judge`); distance alone asks nobody.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import FrameMap, Point
from vigorl.core.ranges import Positive
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.rollout.inference.majority import SeveralSamples
from vigorl.rollout.inference.rule import Ruling


@dataclass(frozen=True, kw_only=True)
class Medoid(SeveralSamples):
    """Of answers that are points, the one with the most others near it; of those with as many the
    one that is nearest to them on average, then the first. Where no sample gives a point on the
    picture the first stands.

    Attributes:
        near_px: What is near, in pixels of the picture as it is shown.
    """

    near_px: Positive = 14.0

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"near_px": self.near_px}

    def check(self, tasks: Sequence[TaskRecord]) -> None:
        odd = next((task for task in tasks if not task.scorer.is_place), None)
        if odd is not None:
            raise ConfigError(
                f"inference=medoid needs answers that are points; {odd.id!r} is judged by "
                f"{type(odd.scorer).__name__}: set inference=majority"
            )

    def rulings(
        self, groups: Sequence[Sequence[Rollout]], replies: Sequence[Rollout | None]
    ) -> list[Ruling]:
        return [self._middle(group) for group in groups]

    def _middle(self, group: Sequence[Rollout]) -> Ruling:
        places = {i: place for i, one in enumerate(group) if (place := _place(one)) is not None}
        if not places:
            return Ruling(0, "no point at all", [{"rule_near": 0.0}] * len(group))
        near = {
            i: [d for one in places.values() if (d := place.distance(one)) <= self.near_px]
            for i, place in places.items()
        }
        best = max(near, key=lambda i: (len(near[i]), -statistics.fmean(near[i]), -i))
        saw = (
            f"{len(near[best])} of {len(group)} within {self.near_px:g} px of {group[best].answer}"
        )
        marks = [{"rule_near": float(len(near.get(i, ())))} for i in range(len(group))]
        return Ruling(best, saw, marks)


def _place(one: Rollout) -> Point | None:
    """Where an answer points, in pixels of the first picture as it is shown."""
    first = one.prompt_views[0]
    point = one.task.scorer.place(one.answer or "", view=first)
    return None if point is None else FrameMap(first.text_size, first.size).point(point)
