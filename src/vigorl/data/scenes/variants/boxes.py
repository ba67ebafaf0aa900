"""Thoughts name boxes, "The red disc is in (44, 14), (56, 26).", for rewards that grade them; or
the answer itself is the boxes of all signs of a shape.

The boxes are the targets: those of whole signs, where other variants have the striped panels.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

from vigorl.core.records import TaskRecord
from vigorl.core.scoring import BoxesOverlap, Scorer
from vigorl.data.scenes.draw import Scene
from vigorl.data.scenes.questions import BOXES, asked_signs
from vigorl.data.scenes.variants.lists import Lists
from vigorl.data.scenes.variants.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Boxes(Variant):
    """The ordinary questions, with a teacher that names boxes; its tool zooms into a box."""

    @property
    def names_boxes(self) -> bool:
        return True

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        task = super().ask(scene, rng=rng, comparison_frac=comparison_frac, id=id, image=image)
        return replace(task, targets=tuple(sign.box for sign in asked_signs(task, scene)))


@dataclass(frozen=True, kw_only=True)
class BoxLists(Lists):
    """All signs of a shape, "Box the discs.", which can be seen without a zoom. The scorer pays the
    mean over them of the best IoU, which more boxes never lower: that is for rewards to mend.
    """

    @property
    def scorer(self) -> Scorer:
        return BoxesOverlap()

    @property
    def names_boxes(self) -> bool:
        return True

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        task = super().ask(scene, rng=rng, comparison_frac=comparison_frac, id=id, image=image)
        signs = asked_signs(task, scene)
        boxes = tuple(sign.box for sign in signs)
        return replace(
            task,
            question=f"Box the {signs[0].shape}s.",
            answer=json.dumps([box.as_tuple() for box in boxes]),
            scorer=BoxesOverlap(boxes),
            targets=boxes,
            category=BOXES,
        )
