"""How far two places of a picture are apart, in words.

    {"name": "measure_distance", "arguments": {"start": [50, 20], "end": [80, 64]}}

Pixels are those of the picture FILE: the frames of texts need not be as fine in x as in y, and
those of two crops differ, so only the file's pixels can be compared within a dialog.
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
from vigorl.rollout.tools.arguments import PICTURE, read_picture, read_point, refuse_unknown


@dataclass(frozen=True, kw_only=True)
class MeasureDistance(StatelessTool):
    """Answers with a text.

    Attributes:
        name: What the policy calls it.
    """

    name: str = "measure_distance"
    spec: ClassVar = ToolSpec(
        (Argument("start", ArgumentKind.POINT), Argument("end", ArgumentKind.POINT), PICTURE),
        purpose="the distance between two places of a picture",
        reply="that distance in pixels of the full picture",
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        image = scene[read_picture(arguments, PICTURE.name, scene=scene)]
        start, end = (read_point(arguments, key, image=image) for key in ("start", "end"))
        size = image.original
        return Observation(
            (
                f"The distance is {start.distance(end):.1f} pixels of the full picture, "
                f"which is {size.width} wide and {size.height} high.",
            )
        )
