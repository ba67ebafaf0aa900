"""A zoom whose extent the policy chooses: a box of the ORIGINAL picture, its aspect kept.

{"name": "zoom_box", "arguments": {"bbox": [40, 10, 60, 30]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.geometry import Point, box_window, zoom_window
from vigorl.core.media import ImageView, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.rollout.tools.arguments import check_view_settings, read_box, view_size

KEY = "bbox"
SPEC = ToolSpec(
    (Argument(KEY, ArgumentKind.BOX),),
    purpose="a look at a part",
    reply="an enlarged cut-out of that part of the full picture",
)


@dataclass(frozen=True, kw_only=True)
class ZoomBox(StatelessTool):
    """Shows a box.

    Attributes:
        min_window_px: Smaller boxes are grown to this side, in ORIGINAL pixels; also the box that
            traces are written with.
        view_px: Longer side of the view that the model gets, in pixels.
        name: What the policy calls it.
        shown: The sentence that introduces the crop.
    """

    min_window_px: int
    view_px: int
    name: str = "zoom_box"
    shown: str = "Here is the crop of the image inside the box"
    spec: ClassVar = SPEC

    def __post_init__(self) -> None:
        check_view_settings(window_px=self.min_window_px, view_px=self.view_px)

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        image = scene.first
        box = read_box(arguments, KEY, image=image)
        window = box_window(box, image=image.original, min_side_px=self.min_window_px)
        view = replace(image, size=view_size(window, view_px=self.view_px), box=window)
        return Observation((f"{self.shown}:\n", view), Region(box.center, window))

    def arguments_at(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        window = zoom_window(target, image=image.original, side_px=self.min_window_px)
        return {KEY: list(image.box_to_text(window))}
