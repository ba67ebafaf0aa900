"""Points, boxes, sizes, and linear maps between pixel frames.

ORIGINAL is the picture file's own pixels, the frame of every box and place that is kept. Texts
speak of pictures in a frame of the model family's; `core.media.ImageView` knows which one.

    >>> to_resized = FrameMap(Size(448, 448), Size(112, 112))
    >>> to_resized.point(Point(200, 80))
    Point(x=50.0, y=20.0)
    >>> zoom_window(Point(10, 80), image=Size(448, 448), side_px=112)  # shifted, never squashed
    Box(left=0, top=24, right=112, bottom=136)
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(
                f"a picture has at least one pixel on each side, got {self.width}x{self.height}"
            )


@dataclass(frozen=True, slots=True)
class Point:
    """One position, x to the right and y down, in pixels of a frame the holder names."""

    x: float
    y: float

    def distance(self, other: Point) -> float:
        """Euclidean distance in pixels."""
        return math.hypot(self.x - other.x, self.y - other.y)

    def is_inside(self, size: Size) -> bool:
        """Whether the point lies on a picture of this size (0 <= x < width, 0 <= y < height)."""
        return 0 <= self.x < size.width and 0 <= self.y < size.height


@dataclass(frozen=True, slots=True)
class Box:
    """Half-open rectangle [left, right) x [top, bottom) in pixels of a frame the holder names."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (self.left < self.right and self.top < self.bottom):
            raise ValueError(f"a box needs left < right and top < bottom, got {self.as_tuple()}")

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Box:
        """From a corner and a size, as V*Bench and ScreenSpot-v2 write boxes."""
        return cls(x, y, x + width, y + height)

    @property
    def center(self) -> Point:
        return Point((self.left + self.right) / 2, (self.top + self.bottom) / 2)

    def contains(self, point: Point) -> bool:
        """Whether the point is inside; both edges count, as in the released point_in_bbox judge."""
        return self.left <= point.x <= self.right and self.top <= point.y <= self.bottom

    def covers(self, other: Box) -> bool:
        """Whether the other box lies wholly inside this one."""
        return (
            self.left <= other.left and self.top <= other.top
            and other.right <= self.right and other.bottom <= self.bottom
        )  # fmt: skip

    def is_inside(self, size: Size) -> bool:
        """Whether the box lies wholly on a picture of this size."""
        return (
            self.left >= 0
            and self.top >= 0
            and self.right <= size.width
            and self.bottom <= size.height
        )

    def as_tuple(self) -> tuple[float, float, float, float]:
        return (self.left, self.top, self.right, self.bottom)


@dataclass(frozen=True, slots=True)
class FrameMap:
    """Linear map between two frames of the same whole picture."""

    source: Size
    target: Size

    def point(self, point: Point) -> Point:
        return Point(
            point.x * self.target.width / self.source.width,
            point.y * self.target.height / self.source.height,
        )

    def box(self, box: Box) -> Box:
        top_left, bottom_right = (
            self.point(Point(box.left, box.top)),
            self.point(Point(box.right, box.bottom)),
        )
        return Box(top_left.x, top_left.y, bottom_right.x, bottom_right.y)

    def pixel(self, point: Point) -> Point:
        """The target pixel under a source position: rounded, then kept on the target picture."""
        mapped = self.point(point)
        return Point(
            min(max(round(mapped.x), 0), self.target.width - 1),
            min(max(round(mapped.y), 0), self.target.height - 1),
        )


def fit_size(size: Size, max_side_px: int, *, may_grow: bool = False) -> Size:
    """The size with the same aspect whose longer side is `max_side_px`, or less if it was less.

    >>> fit_size(Size(400, 100), 200)
    Size(width=200, height=50)
    """
    scale = max_side_px / max(size.width, size.height)
    scale = scale if may_grow else min(1.0, scale)
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def zoom_window(center: Point, *, image: Size, side_px: int) -> Box:
    """The square to cut around a point.

    At a border it is shifted inside the picture, so it keeps its size and shape.

    Args:
        center: The point in original pixels; it must be on the picture.
        image: Size of the original picture.
        side_px: Side of the window in original pixels; a smaller picture gives its whole side.
    Returns:
        An integer box inside the picture; min(side_px, picture side) long on each axis.
    Raises:
        ValueError: The point is outside the picture (the caller answers the policy with an
            observation that says so).
    """
    if not center.is_inside(image):
        raise ValueError(
            f"point ({center.x:g}, {center.y:g}) is outside "
            f"the {image.width}x{image.height} picture"
        )
    return window_around(center, Size(side_px, side_px), image)


def window_around(center: Point, window: Size, image: Size) -> Box:
    """The integer window of a size around a point, shifted inside, at most the whole picture."""
    width, height = min(window.width, image.width), min(window.height, image.height)
    left = min(max(round(center.x - width / 2), 0), image.width - width)
    top = min(max(round(center.y - height / 2), 0), image.height - height)
    return Box(left, top, left + width, top + height)


def box_window(box: Box, *, image: Size, min_side_px: int) -> Box:
    """The integer window for a zoom at a box.

    It is the box itself, grown to at least `min_side_px` on each axis and shifted inside.

    Raises:
        ValueError: The box is not wholly on the picture.
    """
    if not box.is_inside(image):
        raise ValueError(
            f"box {box.as_tuple()} is not inside the {image.width}x{image.height} picture"
        )
    width = max(math.ceil(box.right - box.left), min_side_px)
    height = max(math.ceil(box.bottom - box.top), min_side_px)
    return window_around(box.center, Size(width, height), image)
