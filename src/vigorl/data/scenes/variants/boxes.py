"""Thoughts name boxes, "The red disc is in (44, 14), (56, 26).", for rewards that grade them; or
the answer itself is the boxes of all signs of a shape.

The boxes are the targets: those of whole signs, where other variants have the striped panels.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import BoxesOverlap, Scorer
from vigorl.data.scenes.draw import Scene
from vigorl.data.scenes.questions import BOXES, asked_signs
from vigorl.data.scenes.variants.lists import Lists
from vigorl.data.scenes.variants.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Boxes(Variant):
    """The ordinary questions, with a teacher that names boxes; its tool zooms into a box.

    Attributes:
        context_salience: What the first sign's near twin counts, 0 to 1, where the asked signs
            count 1: tags "salience" and "context" say so, for rewards that weigh regions. None
            writes neither.
    """

    context_salience: float | None = None

    def __post_init__(self) -> None:
        if self.context_salience is not None and not 0 <= self.context_salience <= 1:
            raise ConfigError(
                "data.variant.context_salience is null or a number between 0 and 1, got "
                f"{self.context_salience}"
            )

    @property
    def names_boxes(self) -> bool:
        return True

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        task = super().ask(scene, rng=rng, comparison_frac=comparison_frac, id=id, image=image)
        targets = tuple(sign.box for sign in asked_signs(task, scene))
        return replace(task, targets=targets, tags=self._tags(scene, targets))

    def _tags(self, scene: Scene, targets: Sequence[Box]) -> dict[str, str]:
        if self.context_salience is None:
            return {}
        colour = scene.signs[0].colour
        twins = [sign.box for sign in scene.signs[1:] if sign.colour == colour]
        twins = [box for box in twins if box not in targets]
        salience = [1.0] * len(targets) + [self.context_salience] * len(twins)
        boxes = (json.dumps(box.as_tuple()) for box in twins)
        return {"salience": "; ".join(map(str, salience)), "context": "; ".join(boxes)}


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
