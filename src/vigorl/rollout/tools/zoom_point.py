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
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.geometry import Point, zoom_window
from vigorl.core.media import ImageView, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne
from vigorl.rollout.tools.arguments import check_view_settings, read_point, view_size

KEY = "coordinate"
SPEC = ToolSpec(
    (Argument(KEY, ArgumentKind.POINT),),
    purpose="a look at a spot",
    reply="an enlarged cut-out of the full picture around that spot",
)


@dataclass(frozen=True, kw_only=True)
class ZoomPoint(StatelessTool):
    """Shows the square around a point.

    Attributes:
        window_px: Side of the window in ORIGINAL pixels.
        view_px: Side of the view that the model gets, in pixels.
        name: What the policy calls it.
        shown: The sentence that introduces the crop.
    """

    window_px: AtLeastOne
    view_px: AtLeastOne
    name: str = "search_coordinate"
    shown: str = "Here is the crop of the image centered on the coordinate"
    spec: ClassVar = SPEC

    def __post_init__(self) -> None:
        check_view_settings(window_px=self.window_px, view_px=self.view_px)

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        image = scene.first
        center = read_point(arguments, KEY, image=image)
        window = zoom_window(center, image=image.original, side_px=self.window_px)
        view = replace(image, size=view_size(window, view_px=self.view_px), box=window)
        return Observation((f"{self.shown}:\n", view), Region(center, window))

    def arguments_at(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        point = image.to_text(target)
        return {KEY: [point.x, point.y]}
