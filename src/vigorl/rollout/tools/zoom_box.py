"""A zoom whose extent the policy chooses: a box of the ORIGINAL picture, its aspect kept.

    {"name": "zoom_box", "arguments": {"bbox": [40, 10, 60, 30]}}

A box on an earlier crop is brought back to the picture file, and cut from there.
Source: `pad_frac`, TIGER-AI-Lab/Pixel-Reasoner a3a6c3a; `grow` and `enlarge`,
xtong-zhang/Chain-of-Focus 431ff0d; the two shares, VLM-R3, justgogorunrun/VLM-R3 841adca; the last
picture as target, Alibaba-NLP/VRAG 24f8d05.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size, box_window, zoom_window
from vigorl.core.media import ImageView, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, FromOne, Range, Share
from vigorl.rollout.tools.arguments import PICTURE, read_box, read_picture, view_size


@dataclass(frozen=True, kw_only=True)
class ZoomBox(StatelessTool):
    """Shows a box.

    Attributes:
        min_window_px: Smaller boxes are grown to this side, in ORIGINAL pixels; also the box that
            traces are written with.
        view_px: Longer side of the view that the model gets, in pixels; None: that of the box,
            enlarged.
        name: What the policy calls it.
        shown: The sentence that introduces the crop.
        key: What the policy calls the box.
        target: Which picture the box is on: the first, the last shown, or any, whose index a call
            may give as "picture" (else the first).
        grow: The box is made this many times as wide and high about its centre, and clipped.
        pad_frac: Then widened on each side by this share of the picture, and clipped.
        enlarge: Without `view_px`, how many times its own pixels a small box is shown.
        small_share: Up to this share of the picture's area a box is small.
        large_share: From this share on it is shown as it is; between the two linearly.
    """

    min_window_px: AtLeastOne
    view_px: AtLeastOne | None
    name: str = "zoom_box"
    shown: str = "Here is the crop of the image inside the box"
    key: str = "bbox"
    target: Literal["first", "last", "any"] = "first"
    grow: FromOne = 1.0
    pad_frac: Annotated[float, Range(ge=0, lt=1)] = 0.0
    enlarge: FromOne = 1.0
    small_share: Share = 1.0
    large_share: Share = 1.0

    def __post_init__(self) -> None:
        if self.min_window_px < 1 or (self.view_px is not None and self.view_px < 1):
            raise ConfigError(
                f"min_window_px={self.min_window_px} and view_px={self.view_px} must be at least 1"
            )
        if self.view_px is not None and self.enlarge > 1:
            raise ConfigError(
                f"enlarge={self.enlarge:g} has no effect with view_px={self.view_px}: "
                "set view_px to null"
            )
        if self.small_share > self.large_share:
            raise ConfigError(
                f"small_share={self.small_share:g} must be at most large_share={self.large_share:g}"
            )

    @property
    def spec(self) -> ToolSpec:
        box = Argument(self.key, ArgumentKind.BOX)
        return ToolSpec(
            (box, PICTURE) if self.target == "any" else (box,),
            purpose="a look at a part" + (" of the last picture" * (self.target == "last")),
            reply="an enlarged cut-out of that part of the full picture",
        )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        index = len(scene.views) - 1 if self.target == "last" else 0
        if self.target == "any":
            index = read_picture(arguments, PICTURE.name, scene=scene)
        image = scene[index]
        box = read_box(arguments, self.key, image=image)
        around = self._around(box, image.original)
        window = box_window(around, image=image.original, min_side_px=self.min_window_px)
        view = replace(image, size=self._shown_size(window, image.original), box=window)
        return Observation((f"{self.shown}:\n", view), Region(box.center, window, picture=index))

    def arguments_at(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        window = zoom_window(target, image=image.original, side_px=self.min_window_px)
        return {self.key: list(image.box_to_text(window))}

    def _around(self, box: Box, image: Size) -> Box:
        if self.grow == 1 and self.pad_frac == 0:
            return box
        right = (box.right - box.left) * (self.grow - 1) / 2 + self.pad_frac * image.width
        down = (box.bottom - box.top) * (self.grow - 1) / 2 + self.pad_frac * image.height
        return Box(
            max(box.left - right, 0), max(box.top - down, 0),
            min(box.right + right, image.width), min(box.bottom + down, image.height),
        )  # fmt: skip

    def _shown_size(self, window: Box, image: Size) -> Size:
        if self.view_px is not None:
            return view_size(window, view_px=self.view_px)
        width, height = window.right - window.left, window.bottom - window.top
        share = width * height / (image.width * image.height)
        times = self.enlarge
        if share > self.small_share:
            left = (self.large_share - share) / max(self.large_share - self.small_share, 1e-9)
            times = 1 + (self.enlarge - 1) * max(left, 0.0)
        return Size(max(round(width * times), 1), max(round(height * times), 1))
