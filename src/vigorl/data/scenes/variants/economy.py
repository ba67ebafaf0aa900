"""In a share of the pictures the asked sign is so large that the overview suffices.

A policy that is paid for right answers alone may zoom everywhere; one that weighs the cost of a
look stops where it gains nothing. The tag "size" ("large", "small") says which pictures those are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.scenes.variants.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Economy(Variant):
    """A zoom on the large sign shows its stripes too: it is needless, not harmful.

    Attributes:
        large_frac: Share of pictures whose first sign is large, 0 to 1.
    """

    large_frac: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.large_frac <= 1:
            raise ConfigError(f"large_frac is a share between 0 and 1, got {self.large_frac}")

    def draw(
        self,
        settings: SceneSettings,
        *,
        seed: int,
        split: str,
        photographs: Sequence[Image.Image] = (),
    ) -> Scene:
        is_large = random.Random(f"{seed}/size").random() < self.large_frac
        return draw_scene(settings, seed=seed, photographs=photographs, is_large=is_large)

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        """One sign or two, of which the first may be large."""
        task = super().ask(scene, rng=rng, comparison_frac=comparison_frac, id=id, image=image)
        return replace(task, tags={"size": "large" if scene.signs[0].is_large else "small"})
