"""A line through points of a picture, which stays: a path, a row to follow, a height to compare.

    {"name": "draw_line", "arguments": {"points": [[10, 64], [100, 64]]}}

Source: 4 px, black, from a red start to a blue end, AntResearchNLP/ViLaSR 61669c0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.media import BLACK, Dot, Line
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import Positive
from vigorl.rollout.tools.arguments import PICTURE, read_points, refuse_unknown
from vigorl.rollout.tools.canvas import ALL_MARKS, SHOWN, canvas_of, drawn, pixels_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


@dataclass(frozen=True, kw_only=True)
class DrawLine(StatelessTool):
    """Draws straight from point to point.

    Attributes:
        width_px: Of the line, in pixels of the picture as it is shown; its ends are as wide again.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    width_px: Positive = 4.0
    name: str = "draw_line"
    shown: str = SHOWN
    spec: ClassVar = ToolSpec(
        (Argument("points", ArgumentKind.POINTS), PICTURE),
        purpose="a line from point to point",
        reply=ALL_MARKS,
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        canvas = canvas_of(arguments, scene=scene)
        points = tuple(read_points(arguments, "points", image=canvas))
        if len(points) < 2:
            raise ToolError('The "points" argument must be a list of at least 2 points.')
        width = pixels_of(self.width_px, canvas=canvas)
        line = Line(points, max(round(width), 1), BLACK)
        ends = Dot(points[0], width, RED), Dot(points[-1], width, BLUE)
        return drawn(canvas, [line, *ends], shown=self.shown)
