"""A note on a picture, which stays.

    {"name": "write_text", "arguments": {"point": [50, 20], "text": "red"}}

Source: text drawn by code on the picture, V-Thinker, arXiv:2511.04460, here as a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import Positive
from vigorl.rollout.tools.arguments import PICTURE, read_label, read_point, refuse_unknown
from vigorl.rollout.tools.canvas import ALL_MARKS, COLOURS, SHOWN, canvas_of, drawn, tag_at


@dataclass(frozen=True, kw_only=True)
class WriteText(StatelessTool):
    """Writes a line of text whose upper left corner is at a point, or as near as it fits.

    Attributes:
        text_px: Height of the letters, in pixels of the picture as it is shown.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    text_px: Positive = 12.0
    name: str = "write_text"
    shown: str = SHOWN
    spec: ClassVar = ToolSpec(
        (
            Argument("point", ArgumentKind.POINT),
            Argument("text", ArgumentKind.TEXT),
            PICTURE,
        ),
        purpose="a note written on the picture",
        reply=ALL_MARKS,
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        canvas = canvas_of(arguments, scene=scene)
        point = read_point(arguments, "point", image=canvas)
        text = read_label(arguments, "text")
        note = tag_at(point, text, height_px=self.text_px, canvas=canvas, rgb=COLOURS[0])
        return drawn(canvas, note, shown=self.shown)
