"""What a variant of the made world may change; the base changes nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.scenes.questions import ask_attribute, ask_comparison


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The ordinary world. Its fields stand in the world's stamp, so they are plain values."""

    @property
    def scorer(self) -> Scorer:
        """Judges the answers to its questions, which the files do not say."""
        return TextMatch()

    @property
    def names_boxes(self) -> bool:
        """Whether thoughts name the boxes of signs instead of points; traces then call a tool whose
        one argument is a box.
        """
        return False

    def draw(
        self,
        settings: SceneSettings,
        *,
        seed: int,
        split: str,
        photographs: Sequence[Image.Image] = (),
    ) -> Scene:
        """The scene of a seed.

        Args:
            settings: How hard it is.
            seed: Decides everything.
            split: "train", "val", "test" or "traces".
            photographs: As of `draw_scene`.
        """
        return draw_scene(settings, seed=seed, photographs=photographs)

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        """A question about a scene.

        Args:
            scene: What is drawn.
            rng: Chooses among the questions that it allows.
            comparison_frac: Share of questions that compare two signs, where there are such.
            id: Of the record.
            image: The picture's file.
        """
        if rng.random() < comparison_frac:
            return ask_comparison(scene, id=id, image=image)
        return ask_attribute(scene, id=id, image=image)
