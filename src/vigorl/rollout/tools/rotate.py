"""A picture turned, as a new picture of the dialog.

    {"name": "rotate", "arguments": {"degrees": 90}}

Its file is written once per content. A picture that does not turn by a right angle gets grey
corners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from PIL import Image

from vigorl.core.media import GREY
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import Range, check_ranges
from vigorl.rollout.tools.arguments import PICTURE, read_number, read_picture, refuse_unknown
from vigorl.rollout.tools.remade import remade_view, shown_part


@dataclass(frozen=True, kw_only=True)
class Rotate(StatelessTool):
    """Turns a picture clockwise.

    Attributes:
        folder: Where turned pictures are kept; each lies there once.
        multiple_of: Angles that are allowed, in degrees: 90 keeps every pixel, and the number of
            files small.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    folder: str
    multiple_of: Annotated[int, Range(ge=1, le=90)] = 90
    name: str = "rotate"
    shown: str = "Here is the picture, turned"
    spec: ClassVar = ToolSpec(
        (Argument("degrees", ArgumentKind.NUMBER), PICTURE),
        purpose="a picture turned clockwise by an angle",
        reply="the turned picture",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "tools.rotate")

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        image = scene[read_picture(arguments, PICTURE.name, scene=scene)]
        degrees = read_number(arguments, "degrees", low=-360, high=360)
        if degrees % self.multiple_of:
            raise ToolError(f'The "degrees" argument must be a multiple of {self.multiple_of}.')
        turned = shown_part(image).rotate(
            -degrees, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=GREY
        )
        view = remade_view(turned, like=image, folder=self.folder)
        return Observation((f"{self.shown}:\n", view))
