"""Right is a point in a polygon, as in pointing at free space (RoboSpatial)."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigorl.core.geometry import Point
from vigorl.core.media import ImageView, TextFrame
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_N = r"\s*-?\d{1,9}(?:\.\d{1,9})?\s*"
_POINTS = re.compile(
    rf"\[?\s*(?:\(({_N}),({_N})\)|\[({_N}),({_N})\])"
    rf"(?:\s*,?\s*[(\[]{_N},{_N}[)\]])*\s*,?\s*\]?"
)


@dataclass(frozen=True, slots=True)
class PointInPolygon(Scorer):
    """1.0 for a first point "(x, y)" inside the polygon (edges count), else 0.0.

    An answer is one point or a list of points and nothing else; the first one counts, as in the
    benchmark's own code, so naming many places helps nobody.

    Attributes:
        corners: Of the polygon, in order; empty until a task's answer has said them.
        is_unit: Whether they are shares of the picture's width and height, not ORIGINAL pixels.
        frame: How answers write points; None: as the model's family writes them.
    """

    corners: tuple[Point, ...] = ()
    is_unit: bool = False
    frame: TextFrame | None = None

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        if len(self.corners) < 3:
            raise ValueError(f"task {task.id}: needs a polygon, PointInPolygon(corners=...)")
        if view is None or view.box is not None:
            raise ValueError(f"task {task.id}: a point is judged on the whole picture's view")
        point = self.place(answer, view=view)
        if point is None:
            return 0.0
        seen = view.to_original(point)
        width, height = view.original.width, view.original.height
        scale = (width, height) if self.is_unit else (1, 1)
        corners = [Point(corner.x * scale[0], corner.y * scale[1]) for corner in self.corners]
        return float(is_in_polygon(seen, corners))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return self.place(answer, view=view) is not None

    def place(self, answer: str, *, view: ImageView) -> Point | None:
        match = _POINTS.fullmatch(unwrapped(answer).strip(" \t\n\"'`*.,;!"))
        if match is None:
            return None
        x, y = (float(one) for one in match.groups() if one is not None)
        if self.frame is None:
            return Point(x, y) if view.holds(Point(x, y)) else None
        written = view.in_frame(self.frame).text_size
        point = Point(
            x * view.text_size.width / written.width, y * view.text_size.height / written.height
        )
        return point if view.holds(point) else None

    @property
    def is_place(self) -> bool:
        return True

    def for_answer(self, answer: str) -> PointInPolygon:
        """With the corners of "[(x, y), ...]": shares of the picture where none is above 1."""
        corners = _read_corners(answer)
        is_unit = all(0 <= one.x <= 1 and 0 <= one.y <= 1 for one in corners)
        return replace(self, corners=corners, is_unit=is_unit)

    def answer_text(self, answer: str) -> str:
        return str([(one.x, one.y) for one in self.corners]) if self.corners else answer


def is_in_polygon(point: Point, corners: list[Point]) -> bool:
    """Whether a point lies inside a polygon or on its edge; a ray to the right crosses the edges of
    one that holds it an odd number of times.
    """
    is_inside = False
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        if _is_between(point, a, b):
            return True
        if (a.y > point.y) != (b.y > point.y):
            is_inside ^= point.x < a.x + (point.y - a.y) * (b.x - a.x) / (b.y - a.y)
    return is_inside


def _is_between(point: Point, a: Point, b: Point) -> bool:
    longer = a.distance(point) + point.distance(b)
    return math.isclose(longer, a.distance(b), rel_tol=1e-12, abs_tol=1e-9)


def _read_corners(text: str) -> tuple[Point, ...]:
    wrong = f'must be at least three corners "[(x, y), ...]", got {text!r:.80}'
    try:
        corners = tuple(Point(float(x), float(y)) for x, y in ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise ValueError(wrong) from None
    if len(corners) < 3 or not all(math.isfinite(one.x + one.y) for one in corners):
        raise ValueError(wrong)
    return corners
