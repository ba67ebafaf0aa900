"""Questions with an answer of several parts: all signs of a shape, or the signs along a route.

    List the discs and their stripes.
    red disc: vertical; blue disc: rising

    Follow the red disc, the blue square and the pink disc. How do their stripes run?
    red disc: vertical; blue square: rising; pink disc: falling

`ItemsMatch` pays each part that is right, and divides by the longer of the two lists.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import ItemsMatch, Scorer
from vigorl.data.scenes.draw import Scene
from vigorl.data.scenes.questions import ask_list
from vigorl.data.scenes.variants.variant import Variant

DIFFICULTIES = ("easy", "middle", "hard")


@dataclass(frozen=True, kw_only=True)
class Lists(Variant):
    """All signs of the first sign's shape, from left to right; any order is right. How many there
    are is for the policy to see; the tag "items" says it.

    Attributes:
        max_items: Most signs that are asked for, at least 1: a scene with more is asked about the
            other shape.
    """

    max_items: int = 4

    def __post_init__(self) -> None:
        if self.max_items < 1:
            raise ConfigError(f"max_items must be at least 1, got {self.max_items}")

    @property
    def scorer(self) -> Scorer:
        return ItemsMatch()

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        shapes = dict.fromkeys(sign.shape for sign in scene.signs)
        groups = [[sign for sign in scene.signs if sign.shape == shape] for shape in shapes]
        asked = min(groups, key=lambda group: len(group) > self.max_items)
        asked = sorted(asked, key=lambda sign: sign.center.x)[: self.max_items]
        question = f"List the {asked[0].shape}s and their stripes."
        tags = {"items": str(len(asked))}
        return ask_list(asked, question, id=id, image=image, scorer=self.scorer, tags=tags)


@dataclass(frozen=True, kw_only=True)
class Route(Variant):
    """The signs along a route, in its order. The tags "stops" and "difficulty" ("easy", "middle",
    "hard": from the fewest stops to the most) say how long it is.

    Attributes:
        stops: Lengths of routes, evenly likely; from short to long, 2 or more.
    """

    stops: tuple[int, ...] = (2, 3, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stops", tuple(self.stops))
        if not self.stops or min(self.stops) < 2 or list(self.stops) != sorted(set(self.stops)):
            raise ConfigError(f"stops must be lengths from short to long, got {list(self.stops)}")

    @property
    def scorer(self) -> Scorer:
        return ItemsMatch(is_ordered=True)

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        if self.stops[-1] > len(scene.signs):
            raise ConfigError(
                f"data.variant.stops={list(self.stops)} needs {self.stops[-1]} signs, "
                f"data.scene.num_signs={len(scene.signs)}"
            )
        place = rng.randrange(len(self.stops))
        asked = [scene.signs[0], *rng.sample(scene.signs[1:], self.stops[place] - 1)]
        rng.shuffle(asked)
        names = [f"the {sign.name}" for sign in asked]
        level = DIFFICULTIES[place * len(DIFFICULTIES) // len(self.stops)]
        return ask_list(
            asked,
            f"Follow {', '.join(names[:-1])} and {names[-1]}. How do their stripes run?",
            id=id,
            image=image,
            scorer=self.scorer,
            tags={"stops": str(len(asked)), "difficulty": level},
        )
