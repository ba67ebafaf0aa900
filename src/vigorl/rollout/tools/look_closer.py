"""A part of any picture shown so far, such as a frame of a video, at a higher resolution.

{"name": "look_closer", "arguments": {"picture": 3, "bbox": [40, 10, 60, 30]}}

The part is cut from the ORIGINAL picture, whatever the size at which it was shown.
Source: Pixel Reasoner, arXiv:2505.15966 (`crop_image` of any frame); Video-CoM, arXiv:2511.23477
(`SPATIAL_ZOOM`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.geometry import box_window
from vigorl.core.media import Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, check_ranges
from vigorl.rollout.tools.arguments import read_box, read_picture, view_size


@dataclass(frozen=True, kw_only=True)
class LookCloser(StatelessTool):
    """Shows a box of a picture.

    Attributes:
        min_window_px: Smaller boxes are grown to this side, in ORIGINAL pixels.
        view_px: Longer side of the view, in pixels.
        name: What the policy calls it.
    """

    min_window_px: AtLeastOne = 56
    view_px: AtLeastOne = 448
    name: str = "look_closer"
    spec: ClassVar = ToolSpec(
        (Argument("picture", ArgumentKind.INDEX), Argument("bbox", ArgumentKind.BOX)),
        purpose="a closer look at a part of a picture, counted from 0 as they were shown",
        reply="that part, enlarged",
    )

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        if "picture" not in arguments:
            raise ToolError('The tool call has no "picture" argument.')
        index = read_picture(arguments, "picture", scene=scene)
        image = scene[index]
        box = read_box(arguments, "bbox", image=image)
        window = box_window(box, image=image.original, min_side_px=self.min_window_px)
        view = replace(image, size=view_size(window, view_px=self.view_px), box=window)
        return Observation((f"Part of picture {index}:\n", view), Region(box.center, window, index))
