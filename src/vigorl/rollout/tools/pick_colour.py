"""The colour at a place of a picture, in words.

{"name": "pick_colour", "arguments": {"point": [50, 20]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vigorl.core.geometry import Size, window_around
from vigorl.core.media import Region, Rgb
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne
from vigorl.data.pictures import open_source
from vigorl.rollout.tools.arguments import PICTURE, read_picture, read_point, refuse_unknown

NAMED: dict[str, Rgb] = {  # Berlin and Kay's basic colour terms, at values that screens show
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (150, 150, 150),
    "red": (220, 20, 30), "green": (30, 150, 50), "blue": (30, 60, 220),
    "yellow": (250, 225, 30), "orange": (250, 135, 20), "brown": (120, 70, 30),
    "purple": (130, 40, 160), "pink": (250, 150, 190),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PickColour(StatelessTool):
    """Answers with a text, about the picture without what has been drawn on it.

    Attributes:
        side_px: Of the square whose median is taken, in ORIGINAL pixels.
        name: What the policy calls it.
    """

    side_px: AtLeastOne = 5
    name: str = "pick_colour"
    spec: ClassVar = ToolSpec(
        (Argument("point", ArgumentKind.POINT), PICTURE),
        purpose="the colour of a spot",
        reply="its red, green and blue from 0 to 255 and the nearest common name",
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        index = read_picture(arguments, PICTURE.name, scene=scene)
        image = scene[index]
        point = read_point(arguments, "point", image=image)
        square = window_around(point, Size(self.side_px, self.side_px), image.original)
        part = open_source(image.unmarked).crop(square.as_tuple())
        red, green, blue = np.median(np.asarray(part), axis=(0, 1)).round().astype(int).tolist()
        text = f"The colour there is ({red}, {green}, {blue}), {colour_name((red, green, blue))}."
        return Observation((text,), Region(point, picture=index))


def colour_name(rgb: Rgb) -> str:
    """The nearest of `NAMED`, by the weighted distance that follows how eyes differ; of what has
    hardly a hue, black, grey or white alone.

    Source: the "redmean" of compuphase.com/cmetric.htm.

    >>> colour_name((200, 30, 40)), colour_name((20, 20, 30))
    ('red', 'black')
    """

    def distance(other: Rgb) -> float:
        red = (rgb[0] + other[0]) / 2
        square = [(one - two) ** 2 for one, two in zip(rgb, other, strict=True)]
        return (2 + red / 256) * square[0] + 4 * square[1] + (2 + (255 - red) / 256) * square[2]

    hueless = ("black", "white", "grey") if max(rgb) - min(rgb) < 16 else NAMED
    return min(hueless, key=lambda name: distance(NAMED[name]))
