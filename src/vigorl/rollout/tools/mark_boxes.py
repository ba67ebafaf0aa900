"""Numbered boxes on a picture, which stay; with `strength`, half-transparent regions.

    {"name": "mark_boxes", "arguments": {"boxes": [[40, 10, 60, 30]], "label": "disc"}}

Source: boxes of 4 px in cycling colours with a label, AntResearchNLP/ViLaSR 61669c0; a region that
is drawn on the picture and shown again, ViTAR, arXiv:2510.10052.
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
from vigorl.core.ranges import Positive, Share
from vigorl.rollout.tools.arguments import PICTURE, read_boxes, read_label, refuse_unknown
from vigorl.rollout.tools.canvas import ALL_MARKS, SHOWN, canvas_of, drawn, numbered_boxes


@dataclass(frozen=True, kw_only=True)
class MarkBoxes(StatelessTool):
    """Draws boxes, each with a label and its number; numbers go on from call to call.

    Attributes:
        width_px: Of the lines, in pixels of the picture as it is shown.
        text_px: Height of the labels, likewise.
        strength: How much of a box's colour is mixed into what it holds.
        name: What the policy calls it.
        shown: The sentence that introduces the picture.
    """

    width_px: Positive = 4.0
    text_px: Positive = 12.0
    strength: Share = 0.0
    name: str = "mark_boxes"
    shown: str = SHOWN
    spec: ClassVar = ToolSpec(
        (
            Argument("boxes", ArgumentKind.BOXES),
            Argument("label", ArgumentKind.TEXT, is_optional=True),
            PICTURE,
        ),
        purpose="numbered boxes around some things",
        reply=ALL_MARKS,
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        canvas = canvas_of(arguments, scene=scene)
        boxes = read_boxes(arguments, "boxes", image=canvas)
        name = read_label(arguments, "label") if "label" in arguments else ""
        marks = numbered_boxes(
            boxes,
            [name] * len(boxes),
            canvas=canvas,
            width_px=self.width_px,
            text_px=self.text_px,
            strength=self.strength,
        )
        return drawn(canvas, marks, shown=self.shown)
