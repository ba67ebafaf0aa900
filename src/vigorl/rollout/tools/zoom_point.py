"""The paper's zoom: a square window of the ORIGINAL picture around one point, shown larger.

    {"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}

The window is always cut from the original file, never from an earlier crop, and it is shifted
inside at a border, so it keeps its size and shape. Left out: the red dot that the released
web-grounding crops carry at the point.
Source: window and view sizes, `verl/workers/rollout/multiturn/rollout_multiturn.py` of the
released code (364 px shown at 672).
"""

from __future__ import annotations

from collections.abc import Mapping

from vigorl.core.geometry import Frame, FrameMap, Point, zoom_window
from vigorl.core.protocols import ToolError, ToolResult
from vigorl.core.records import ImageView
from vigorl.rollout.tools.arguments import (
    check_view_settings,
    frame_size,
    read_numbers,
    view_size,
)


class ZoomPoint:
    """Shows the square around a point.

    Args:
        window_px: Side of the window in ORIGINAL pixels.
        view_px: Side of the view that the model gets, in pixels; a multiple of `factor`.
        factor: Patch size x merge size of the model.
        frame: The frame that the coordinate is written in.
        name: What the policy calls it.
        shown: The sentence that introduces the crop.
    """

    def __init__(
        self,
        *,
        window_px: int,
        view_px: int,
        factor: int = 28,
        frame: Frame = Frame.RESIZED,
        name: str = "search_coordinate",
        shown: str = "Here is the crop of the image centered on the coordinate",
    ) -> None:
        check_view_settings(window_px=window_px, view_px=view_px, factor=factor)
        self.window_px, self.view_px, self.factor = window_px, view_px, factor
        self.frame, self.shown = Frame(frame), shown
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def call(self, arguments: Mapping[str, object], *, image: ImageView) -> ToolResult:
        point = Point(*read_numbers(arguments, "coordinate", count=2))
        frame = frame_size(self.frame, image)
        if not point.is_inside(frame):
            raise ToolError(
                f"The point ({point.x:g}, {point.y:g}) is outside the image, "
                f"which is {frame.width} wide and {frame.height} high."
            )
        center = FrameMap(frame, image.original).point(point)
        window = zoom_window(center, image=image.original, side_px=self.window_px)
        size = view_size(window, view_px=self.view_px, factor=self.factor)
        return ToolResult(ImageView(image.path, image.original, size, window), center, self.shown)

    def render_arguments(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        pixel = FrameMap(image.original, frame_size(self.frame, image)).pixel(target)
        return {"coordinate": [int(pixel.x), int(pixel.y)]}
