"""Nearness whose width shrinks over training, and overlap behind a gate: Open-o3 Video.

Wide first, so that an untrained policy sees a slope; narrow later, so that near is not enough. The
width follows the progress of the run's plan, so a resumed run goes on with the same one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.protocols import Progress
from vigorl.core.rewards.places import WHERE, Where, boxes_of, points_of, targets_of
from vigorl.core.rewards.unit import UnitReward, check_choice, check_positive
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.core.scoring.boxes import intersection_over_union


def annealed_width(start: float, end: float, *, until: float, progress: Progress) -> float:
    """From `start` to `end` in a line over the first `until` of a run, and `end` from there on."""
    done = min(progress.fraction / until, 1.0)
    return start + (end - start) * done


def mean_nearness(distances: Sequence[float], width: float) -> float:
    """The mean of exp(-d^2 / (2 width^2)) over at least one distance d."""
    return sum(math.exp(-((d / width) ** 2) / 2) for d in distances) / len(distances)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnealedNearnessReward:
    """The mean over the places of exp(-d^2 / (2 s^2)), d the distance to the nearest target.

    s falls in a line from `start_px` to `end_px`, which it has reached at `until` of the run. 0.0
    without a place. Its range is [0, 1] at any progress.

    Attributes:
        where: Where the places are.
        start_px: s at the start, ORIGINAL pixels.
        end_px: s at the end, at most `start_px`; equal widths do not shrink.
        until: Share of the run at which s is at its end, above 0.
    Source: Open-o3 Video, arXiv:2510.20579; marinero4972/Open-o3-Video@1eb6eca,
        src/r1-v/src/open_r1/reward_func.py, whose s is 4 (1 - progress) until three quarters, then
        1, in seconds. Distances in pictures instead of seconds are ours.
    """

    where: Where = "looks"
    start_px: float = 150.0
    end_px: float = 20.0
    until: float = 0.75
    name: str = "annealed_nearness"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_positive(self.name, end_px=self.end_px, until=self.until)
        if not self.start_px >= self.end_px or self.until > 1:
            raise ConfigError(
                f"reward {self.name!r}: need start_px >= end_px and until <= 1, "
                f"got {self.start_px}, {self.end_px}, {self.until}"
            )

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def width_px(self, progress: Progress) -> float:
        """s, ORIGINAL pixels."""
        return annealed_width(self.start_px, self.end_px, until=self.until, progress=progress)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        width = self.width_px(progress)
        return [self._score(rollout, width) for rollout in rollouts]

    def _score(self, rollout: Rollout, width: float) -> float:
        targets, places = targets_of(rollout.task, self.name), points_of(rollout, self.where)
        if not places:
            return 0.0
        return mean_nearness(
            [min(one.distance(t.center) for t in targets) for one in places], width
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedIoUReward(UnitReward):
    """The mean over the named boxes of the IoU with the target whose centre is nearest, counted
    only where the centres are within `gate_px`.

    A fit is not paid at the wrong place. The release's gate tests the difference without an
    absolute value, so that it is open to one side; this one is not. 0.0 without a box.

    Attributes:
        where: Where the boxes are named.
        gate_px: Largest distance of the centres, ORIGINAL pixels.
    Source: as `AnnealedNearnessReward`; there the gate is in time.
    """

    where: Where = "thoughts"
    gate_px: float = 56.0
    name: str = "gated_iou"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_positive(self.name, gate_px=self.gate_px)

    def __call__(self, rollout: Rollout) -> float:
        targets, named = targets_of(rollout.task, self.name), boxes_of(rollout, self.where)
        return sum(self._fit(box, targets) for box in named) / len(named) if named else 0.0

    def _fit(self, box: Box, targets: Sequence[Box]) -> float:
        nearest = min(targets, key=lambda target: box.center.distance(target.center))
        is_near = box.center.distance(nearest.center) <= self.gate_px
        return intersection_over_union(box, nearest) if is_near else 0.0
