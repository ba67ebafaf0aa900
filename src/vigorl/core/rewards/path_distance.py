"""How close a path of points is to the right one: the angle-length Frechet distance of VLA-R1.

A path is the points of an answer, or the places looked at in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vigorl.core.geometry import Point, Size
from vigorl.core.rewards.places import WHERE, Where, points_of, targets_of
from vigorl.core.rewards.unit import UnitReward, check_choice, check_positive
from vigorl.core.rollout import Rollout

_TINY = 1e-12  # of a length or a norm, on a picture whose sides are 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReward(UnitReward):
    """1 - min(1, D / (sqrt 2 + w_a pi + w_l ln 10)), D the angle-length Frechet distance.

    D is the smallest, over ordered couplings of both paths, of the largest cost of a pair; a cost
    is |p - p*| + w_a * (angle between the unit tangents) + w_l * |log of the ratio of the next
    steps' lengths|. Both axes are scaled to [0, 1], and points off the picture are moved to its
    edge. The right path goes through the centres of the task's targets, in order. Two equal points
    in a row have no length, whose log costs the most. 0.0 without a point.

    Attributes:
        where: Where the path is.
        angle_weight: w_a, per radian.
        length_weight: w_l.
    Source: VLA-R1, arXiv:2510.01623; GigaAI-research/VLA-R1@42f4e0e,
        RFT_training/train_utils/robot_bbox_traj_norm.py.
    """

    where: Where = "answer"
    angle_weight: float = 0.25
    length_weight: float = 0.10
    name: str = "path"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_positive(self.name, angle_weight=self.angle_weight, length_weight=self.length_weight)

    def __call__(self, rollout: Rollout) -> float:
        targets = targets_of(rollout.task, self.name)
        size = rollout.prompt_views[0].original
        path = [_scaled(point, size) for point in points_of(rollout, self.where)]
        right = [_scaled(target.center, size) for target in targets]
        if not path:
            return 0.0
        distance = path_distance(
            path, right, angle_weight=self.angle_weight, length_weight=self.length_weight
        )
        longest = math.sqrt(2) + self.angle_weight * math.pi + self.length_weight * math.log(10)
        return 1 - min(1.0, distance / longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearnessReward(UnitReward):
    """1 - min(1, d / reach_px), d from a target's centre to the nearest place, mean over targets.

    The slope that GIoU gives to boxes, for points: a near miss is better than a far one. Ours,
    after VLA-R1. 0.0 without a place.

    Attributes:
        where: Where the places are.
        reach_px: Distance from which nothing is paid, ORIGINAL pixels.
    """

    where: Where = "looks"
    reach_px: float = 112.0
    name: str = "nearness"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_positive(self.name, reach_px=self.reach_px)

    def __call__(self, rollout: Rollout) -> float:
        targets, places = targets_of(rollout.task, self.name), points_of(rollout, self.where)
        if not places:
            return 0.0
        nearest = (min(one.distance(target.center) for one in places) for target in targets)
        return sum(1 - min(1.0, d / self.reach_px) for d in nearest) / len(targets)


def path_distance(
    path: Sequence[Point], right: Sequence[Point], *, angle_weight: float, length_weight: float
) -> float:
    """The angle-length Frechet distance of two paths, each of at least one point; 0.0 when equal.

    Args:
        path: In the frame of `right`.
        right: Likewise.
        angle_weight: Of an angle, per radian.
        length_weight: Of the log of a ratio of lengths.
    """
    tangents = [_tangents(path), _tangents(right)]
    lengths = [_lengths(path), _lengths(right)]

    def cost(i: int, j: int) -> float:
        ratio = abs(math.log((lengths[0][i] + _TINY) / (lengths[1][j] + _TINY)))
        angle = _angle(tangents[0][i], tangents[1][j])
        return path[i].distance(right[j]) + angle_weight * angle + length_weight * ratio

    row = list[float]()  # the best couplings of the path's points so far, per point of `right`
    for i in range(len(path)):
        before, row = row, []
        for j in range(len(right)):
            ways = [*before[max(j - 1, 0) : j + 1], *row[-1:]]
            row.append(max(min(ways, default=0.0), cost(i, j)))
    return row[-1]


def _scaled(point: Point, size: Size) -> Point:
    return Point(
        min(max(point.x / size.width, 0.0), 1.0), min(max(point.y / size.height, 0.0), 1.0)
    )


def _tangents(path: Sequence[Point]) -> list[Point]:
    """The unit direction at each point: of the steps before and after it, or of the one there is;
    (0, 0) where there is none.
    """
    steps = [_unit(Point(after.x - one.x, after.y - one.y)) for one, after in pairwise(path)]
    found = list[Point]()
    for i in range(len(path)):
        around = steps[max(i - 1, 0) : i + 1] or [Point(0.0, 0.0)]
        total = Point(sum(step.x for step in around), sum(step.y for step in around))
        turns_back = math.hypot(total.x, total.y) < _TINY
        found.append(around[0] if turns_back else _unit(total))
    return found


def _lengths(path: Sequence[Point]) -> list[float]:
    """Of the step after each point; of the last one the step before; 0.0 of a single point."""
    steps = [one.distance(after) for one, after in pairwise(path)]
    return [*steps, *steps[-1:]] or [0.0]


def _unit(step: Point) -> Point:
    length = math.hypot(step.x, step.y)
    return Point(step.x / length, step.y / length) if length >= _TINY else Point(0.0, 0.0)


def _angle(a: Point, b: Point) -> float:
    """In [0, pi]; 0.0 where one has no direction."""
    if not (a.x or a.y) or not (b.x or b.y):
        return 0.0
    return math.acos(min(max(a.x * b.x + a.y * b.y, -1.0), 1.0))
