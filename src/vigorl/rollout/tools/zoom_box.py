"""A zoom whose extent the policy chooses: a box of the ORIGINAL picture, its aspect kept.

{"name": "zoom_box", "arguments": {"bbox": [40, 10, 60, 30]}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vigorl.core.geometry import Box, Frame, FrameMap, Point, box_window, zoom_window
from vigorl.core.protocols import ToolError, ToolResult
from vigorl.core.records import ImageView
from vigorl.rollout.tools.arguments import (
    check_view_settings,
    frame_size,
    read_numbers,
    view_size,
)


class ZoomBox:
    """Shows a box.

    Args:
        min_window_px: Smaller boxes are grown to this side, in ORIGINAL pixels; also the box that
            traces are written with.
        view_px: Longer side of the view that the model gets, in pixels; a multiple of `factor`.
        factor: Patch size x merge size of the model.
        frame: The frame that the box is written in.
        name: What the policy calls it.
        shown: The sentence that introduces the crop.
    """

    def __init__(
        self,
        *,
        min_window_px: int,
        view_px: int,
        factor: int = 28,
        frame: Frame = Frame.RESIZED,
        name: str = "zoom_box",
        shown: str = "Here is the crop of the image inside the box",
    ) -> None:
        check_view_settings(window_px=min_window_px, view_px=view_px, factor=factor)
        self.min_window_px, self.view_px, self.factor = min_window_px, view_px, factor
        self.frame, self.shown = Frame(frame), shown
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def call(self, arguments: Mapping[str, object], *, image: ImageView) -> ToolResult:
        left, top, right, bottom = read_numbers(arguments, "bbox", count=4)
        if not (left < right and top < bottom):
            raise ToolError(
                'The "bbox" argument must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2.'
            )
        box, frame = Box(left, top, right, bottom), frame_size(self.frame, image)
        if not box.is_inside(frame):
            raise ToolError(
                f"The box ({left:g}, {top:g}, {right:g}, {bottom:g}) is not inside the image, "
                f"which is {frame.width} wide and {frame.height} high."
            )
        original = FrameMap(frame, image.original).box(box)
        window = box_window(original, image=image.original, min_side_px=self.min_window_px)
        size = view_size(window, view_px=self.view_px, factor=self.factor)
        view = ImageView(image.path, image.original, size, window)
        return ToolResult(view, original.center, self.shown)

    def render_arguments(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        window = zoom_window(target, image=image.original, side_px=self.min_window_px)
        box = FrameMap(image.original, frame_size(self.frame, image)).box(window)
        corners = [math.floor(box.left), math.floor(box.top)]
        return {"bbox": [*corners, math.ceil(box.right), math.ceil(box.bottom)]}
