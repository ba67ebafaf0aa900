"""Numbered dots on a picture, which stay: to count, or to speak of places by their numbers.

    {"name": "mark_points", "arguments": {"points": [[50, 20], [80, 64]]}}

Source: the marks of ViLaSR's canvas, AntResearchNLP/ViLaSR 61669c0, there as boxes and lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.geometry import Point
from vigorl.core.media import Dot, Mark
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import Positive
from vigorl.rollout.tools.arguments import PICTURE, read_points, refuse_unknown
from vigorl.rollout.tools.canvas import (
    ALL_MARKS,
    COLOURS,
    SHOWN,
    canvas_of,
    drawn,
    num_marks,
    pixels_of,
    tag_at,
)


@dataclass(frozen=True, kw_only=True)
class MarkPoints(StatelessTool):
    """Puts a dot and its number at each point; numbers go on from call to call.

    Attributes:
        radius_px: Of a dot, in pixels of the picture as it is shown; numbers are 4 times as high.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    radius_px: Positive = 3.0
    name: str = "mark_points"
    shown: str = SHOWN
    spec: ClassVar = ToolSpec(
        (Argument("points", ArgumentKind.POINTS), PICTURE),
        purpose="numbered dots at some places",
        reply=ALL_MARKS,
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        canvas = canvas_of(arguments, scene=scene)
        points = read_points(arguments, "points", image=canvas)
        radius = pixels_of(self.radius_px, canvas=canvas)
        marks: list[Mark] = []
        for number, point in enumerate(points, start=num_marks(canvas, Dot) + 1):
            rgb = COLOURS[(number - 1) % len(COLOURS)]
            beside = Point(point.x + 1.5 * radius, point.y - 2 * radius)
            height = 4 * self.radius_px
            tag = tag_at(beside, str(number), height_px=height, canvas=canvas, rgb=rgb)
            marks += [Dot(point, radius, rgb), *tag]
        return drawn(canvas, marks, shown=self.shown)
