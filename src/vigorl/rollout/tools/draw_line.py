"""A line through points of a picture, which stays: a path, a row to follow, a height to compare.

    {"name": "draw_line", "arguments": {"points": [[10, 64], [100, 64]]}}

With `window_px` the reply is the part about the line's middle, enlarged, to read what lies there.
Source: 4 px, black, from a red start to a blue end, AntResearchNLP/ViLaSR 61669c0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vigorl.core.geometry import Point, zoom_window
from vigorl.core.media import BLACK, Dot, Line, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, Positive, check_ranges
from vigorl.rollout.tools.arguments import (
    PICTURE,
    read_picture,
    read_points,
    refuse_unknown,
    view_size,
)
from vigorl.rollout.tools.canvas import ALL_MARKS, SHOWN, canvas_of, drawn, pixels_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


@dataclass(frozen=True, kw_only=True)
class DrawLine(StatelessTool):
    """Draws straight from point to point.

    Attributes:
        width_px: Of the line, in pixels of the picture as it is shown; its ends are as wide again.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
        window_px: Side of the square about the middle of the first point and the last that the
            reply shows, in ORIGINAL pixels; None: the whole picture.
        view_px: Side at which that square is shown.
    Raises:
        ConfigError: A setting out of its range.
    """

    width_px: Positive = 4.0
    name: str = "draw_line"
    shown: str = SHOWN
    window_px: AtLeastOne | None = None
    view_px: AtLeastOne = 112

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            (Argument("points", ArgumentKind.POINTS), PICTURE),
            purpose="a line from point to point",
            reply=ALL_MARKS if self.window_px is None else "the middle of the line, enlarged",
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
        reply = drawn(canvas, [line, *ends], shown=self.shown)
        if self.window_px is None:
            return reply
        first, last = points[0], points[-1]
        middle = Point((first.x + last.x) / 2, (first.y + last.y) / 2)
        window = zoom_window(middle, image=canvas.original, side_px=self.window_px)
        size = view_size(window, view_px=self.view_px)
        index = read_picture(arguments, PICTURE.name, scene=scene)
        close = reply.with_views(lambda view: replace(view, box=window, size=size))
        return replace(close, focus=Region(middle, window, picture=index))
