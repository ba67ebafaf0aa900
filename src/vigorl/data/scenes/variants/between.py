"""The asked sign is the one halfway between two others: draw a line between those, and read what is
in its middle.

One end has a twin near it; a line from the twin has its middle beside the asked sign.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.scenes.questions import ask_between
from vigorl.data.scenes.variants.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Between(Variant):
    """The question names the ends alone, neither colour nor shape of the sign between them."""

    def draw(
        self,
        settings: SceneSettings,
        *,
        seed: int,
        split: str,
        photographs: Sequence[Image.Image] = (),
    ) -> Scene:
        if settings.num_signs < 4 or not settings.has_near_miss:
            raise ConfigError(
                f"data.scene.num_signs={settings.num_signs} must be at least 4, and "
                "data.scene.has_near_miss true: two ends, a twin and what is between them"
            )
        return draw_scene(settings, seed=seed, photographs=photographs, has_middle=True)

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        return ask_between(scene, id=id, image=image)
