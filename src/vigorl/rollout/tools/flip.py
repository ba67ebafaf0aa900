"""A picture mirrored, as a new picture of the dialog.

{"name": "flip", "arguments": {"direction": "horizontal"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.rollout.tools.arguments import PICTURE, read_picture, read_text, refuse_unknown
from vigorl.rollout.tools.remade import remade_view, shown_part

FLIPS = {
    "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
}


@dataclass(frozen=True, kw_only=True)
class Flip(StatelessTool):
    """Swaps left and right, or top and bottom.

    Attributes:
        folder: Where mirrored pictures are kept; each lies there once.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    folder: str
    name: str = "flip"
    shown: str = "Here is the picture, mirrored"
    spec: ClassVar = ToolSpec(
        (Argument("direction", ArgumentKind.TEXT, choices=tuple(FLIPS)), PICTURE),
        purpose="a picture mirrored",
        reply="the mirrored picture",
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        image = scene[read_picture(arguments, PICTURE.name, scene=scene)]
        direction = read_text(arguments, "direction", choices=tuple(FLIPS))
        flipped = shown_part(image).transpose(FLIPS[direction])
        view = remade_view(flipped, like=image, folder=self.folder)
        return Observation((f"{self.shown}:\n", view))
