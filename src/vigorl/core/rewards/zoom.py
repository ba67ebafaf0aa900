"""Looking in different places, and looking in the right place.

Without a bonus for different places the policy collapses to one turn, and V*Bench falls from 81.2
to 78.0 (paper, 3B). Paid for wrong answers too, it rewards being busy; here it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, FrameMap, Point
from vigorl.core.media import ImageView, Source, Stored
from vigorl.core.rollout import Rollout


def count_distinct(points: Sequence[Point], *, min_distance_px: float) -> int:
    """Points that are at least `min_distance_px` from every earlier counted one, in order.

    >>> count_distinct([Point(0, 0), Point(6, 0), Point(12, 0)], min_distance_px=10)
    2
    """
    counted: list[Point] = []
    for point in points:
        if all(point.distance(other) >= min_distance_px for other in counted):
            counted.append(point)
    return len(counted)


def points_by_picture(
    rollout: Rollout, *, in_file_pixels: bool = False
) -> dict[Source, list[Point]]:
    """Where the tools looked, by the picture that each place is on, which marks and crops leave
    what it is; in pixels of that picture as it was first shown, or of its file.
    """
    scene = rollout.views
    points: dict[Source, list[Point]] = {}
    for look in rollout.looks:
        picture = scene[look.picture].unmarked
        first = next((one for one in scene if one.unmarked == picture and one.box is None), None)
        point = look.point
        if first is not None and not in_file_pixels:
            point = FrameMap(first.original, first.size).point(point)
        points.setdefault(picture, []).append(point)
    return points


@dataclass(frozen=True, slots=True)
class ZoomDiversityReward:
    """`bonus` for each distinct place the tools looked at, up to `max_points` of them.

    Only calls that worked count, since only they have a point. Places on different pictures or
    frames are different; one on a picture that a tool has made, such as a turned one, is not paid,
    for it may show a place that was.

    Attributes:
        bonus: Reward per distinct place, >= 0.
        max_points: Places that are paid, >= 1.
        free_points: The first places that are not paid (1 pays like the released k - 1).
        min_distance_px: Two places closer than this are one.
        in_file_pixels: Distances are in pixels of the picture file, not of the picture as it is
            shown (as in the released code).
        only_if_correct: Pay only on wholly right answers.
    Source: paper sec. 4 (+0.2 per distinct point, at most 4, at least 10 px apart).
    """

    bonus: float = 0.2
    max_points: int = 4
    free_points: int = 0
    min_distance_px: float = 10.0
    in_file_pixels: bool = False
    only_if_correct: bool = True

    def __post_init__(self) -> None:
        if self.bonus < 0 or self.max_points < 1 or self.free_points < 0:
            raise ConfigError("need bonus >= 0, max_points >= 1, free_points >= 0")

    @property
    def name(self) -> str:
        return "zoom_diversity"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, self.bonus * self.max_points)

    def __call__(self, rollout: Rollout) -> float:
        if self.only_if_correct and rollout.score != 1.0:
            return 0.0
        places = points_by_picture(rollout, in_file_pixels=self.in_file_pixels)
        distinct = sum(
            count_distinct(points, min_distance_px=self.min_distance_px)
            for picture, points in places.items()
            if not isinstance(picture, Stored)
        )
        return self.bonus * min(max(distinct - self.free_points, 0), self.max_points)


def is_zoom_hit(
    view: ImageView, targets: Sequence[Box], *, first: ImageView, whole: bool = False
) -> bool:
    """Whether a crop's window holds the centre of any target.

    Args:
        view: A crop; a view of the whole picture is no zoom and hits nothing.
        targets: ORIGINAL-frame boxes of the first picture.
        first: The first picture; a crop of another one hits nothing. Marks make no other picture.
        whole: The window must hold all of a target, not only its centre.
    """
    window = view.box
    if window is None or view.unmarked != first.unmarked:
        return False
    return any(
        window.covers(target) if whole else window.contains(target.center) for target in targets
    )


def zoom_hits(rollout: Rollout, *, whole: bool = False) -> list[bool]:
    """For each crop of the rollout in order, whether it hit a target; all False without targets."""
    targets = rollout.task.target_boxes
    return [
        is_zoom_hit(view, targets, first=rollout.prompt_views[0], whole=whole)
        for view in rollout.crops
    ]
