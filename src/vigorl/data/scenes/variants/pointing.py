"""Where every sign is: a picture described in words and points, which a reward can draw again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import Scene
from vigorl.data.scenes.variants.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Pointing(Variant):
    """The exercise that taught the start to point, as questions: thoughts say each sign's place,
    the answer how many there are. Targets are all signs, from left to right; the tag "labels" names
    them in that order.
    """

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        signs = sorted(scene.signs, key=lambda sign: sign.center.x)
        return TaskRecord(
            id=id,
            question="Where is every sign?",
            answer=str(len(signs)),
            images=(image,),
            targets=tuple(sign.panel for sign in signs),
            category="pointing",
            tags={"labels": "; ".join(sign.name for sign in signs)},
        )
