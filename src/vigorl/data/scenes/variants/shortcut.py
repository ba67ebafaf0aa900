"""In training most answers follow from the asked colour, so that looking seems needless; in
validation and test none do.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.data.scenes.draw import COLOURS, STRIPES, Scene, SceneSettings, draw_scene
from vigorl.data.scenes.variants.variant import Variant

BIASED = ("train", "traces")  # the splits that are learned from


@dataclass(frozen=True, kw_only=True)
class Shortcut(Variant):
    """Of the first sign, which attribute questions ask about: the i-th colour goes with the stripes
    i modulo 4. Elsewhere its stripes are drawn evenly, whatever its colour.

    Attributes:
        follow_frac: Share of pictures in training whose stripes follow from the colour, 0 to 1; in
            the others they are one of the other three.
    """

    follow_frac: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.follow_frac <= 1:
            raise ConfigError(f"follow_frac is a share between 0 and 1, got {self.follow_frac}")

    def draw(
        self,
        settings: SceneSettings,
        *,
        seed: int,
        split: str,
        photographs: Sequence[Image.Image] = (),
    ) -> Scene:
        rng = random.Random(f"{seed}/shortcut")
        turned = 0 if rng.random() < self.follow_frac else rng.randrange(1, len(STRIPES))
        stripes = followed(turned) if split in BIASED else None
        return draw_scene(settings, seed=seed, photographs=photographs, stripes=stripes)


def followed(turned: int = 0) -> dict[str, str]:
    """The stripes that go with each colour, or those so many places on."""
    return {colour: STRIPES[(i + turned) % len(STRIPES)] for i, colour in enumerate(COLOURS)}
