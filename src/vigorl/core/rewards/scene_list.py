"""Everything a policy says is on a picture, and where: F1 against what is there (RRVF).

A description is words and a point for each object: "red disc at (50, 20); blue square at (9, 9)".
Checking one against a scene that is known needs no rendering and no judge;
`data.scenes.redraw.RenderReward` draws it and compares the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.geometry import Point
from vigorl.core.rewards.matched_set import best_pairs
from vigorl.core.rewards.places import Where, per_target, targets_of, text_at
from vigorl.core.rewards.unit import UnitReward, check_choice, check_positive
from vigorl.core.rewards.words import says
from vigorl.core.rollout import Rollout
from vigorl.core.trace import split_at_points

WRITTEN = ("answer", "thoughts")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionReward(UnitReward):
    """F1 of the described objects: 2 * right / (described + there); 0.0 without any.

    An object is right within `reach_px` of a target whose label stands in the words before its
    point; each counts once. Labels are the task's tag "labels", one per target; without it the
    place alone decides.

    Attributes:
        where: answer, or thoughts.
        reach_px: Largest distance to the target's centre, ORIGINAL pixels.
    Source: RRVF's principle, arXiv:2507.20766 (a judge compares a render with the picture; weights
        not published), made exact for a drawn world.
    """

    where: Where = "answer"
    reach_px: float = 30.0
    name: str = "description"

    def __post_init__(self) -> None:
        check_choice(self.name, WRITTEN, where=self.where)
        check_positive(self.name, reach_px=self.reach_px)

    def __call__(self, rollout: Rollout) -> float:
        targets = targets_of(rollout.task, self.name)
        labels = per_target(rollout.task, "labels", self.name) or ("",) * len(targets)
        described = described_objects(rollout, self.where)
        if not described:
            return 0.0
        there = list(zip(labels, (box.center for box in targets), strict=True))
        pairs = best_pairs(described, there, self._is_right)
        right = sum(self._is_right(*pair) for pair in pairs)
        return 2 * right / (len(described) + len(there))

    def _is_right(self, one: tuple[str, Point], there: tuple[str, Point]) -> float:
        is_named = not there[0] or says(one[0], there[0])
        return float(is_named and one[1].distance(there[1]) <= self.reach_px)


def described_objects(rollout: Rollout, where: Where) -> list[tuple[str, Point]]:
    """The words before each point of the answer or the thoughts, and its ORIGINAL-frame place."""
    first, (objects, _) = rollout.prompt_views[0], split_at_points(text_at(rollout, where))
    return [(words, first.to_original(point)) for words, point in objects]
