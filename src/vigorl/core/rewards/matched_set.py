"""Perception-R1 (Yu): one metric per kind of answer, sets matched so that their total is largest.

boxes in the answer     IoU or its square, number of boxes, labels
points in the answer    distance
any other answer        edit distance
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from vigorl.core.geometry import Point
from vigorl.core.rewards.detection import Detection, detected, wanted
from vigorl.core.rewards.places import WHERE, Where, points_of
from vigorl.core.rewards.unit import UnitReward, check_choice, check_positive
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import BoxesOverlap, intersection_over_union
from vigorl.core.scoring.point import PointInBox

One = TypeVar("One")
Other = TypeVar("Other")
Kind = Literal["auto", "boxes", "points", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSetReward(UnitReward):
    """The metric of a kind of answer.

    Boxes: the mean of the F1 of their number, the mean IoU of matched pairs over
    targets, and the share of targets whose pair has the right label; a missing box counts 0 in all
    three. Points: 1 - min(1, d / reach_px) per pair, over the larger number. Texts: 1
    - edit distance / longer length, without case. How the paper adds its parts up is not in what
    could be read: the means are ours.

    Attributes:
        kind: What is compared. auto: boxes or points where the task's scorer judges such
            (BoxesOverlap, PointInBox), else the text of the answer.
        where: Where boxes and points are.
        squared: The IoU of a pair is squared, as in the release (grounding alone).
        reach_px: Distance from which a point earns nothing, ORIGINAL pixels.
    Source: Perception-R1, arXiv:2504.07954; linkangheng/PR1@48d5558.
    """

    kind: Kind = "auto"
    where: Where = "answer"
    squared: bool = False
    reach_px: float = 112.0
    name: str = "matched_set"

    def __post_init__(self) -> None:
        check_choice(self.name, get_args(Kind), kind=self.kind)
        check_choice(self.name, WHERE, where=self.where)
        check_positive(self.name, reach_px=self.reach_px)

    def __call__(self, rollout: Rollout) -> float:
        kind = self._kind(rollout)
        if kind == "boxes":
            return self._boxes(detected(rollout, self.where), wanted(rollout, self.name))
        if kind == "points":
            return self._points(points_of(rollout, self.where), rollout)
        return text_similarity(rollout.answer or "", rollout.task.answer)

    def _kind(self, rollout: Rollout) -> Kind:
        if self.kind != "auto":
            return self.kind
        if isinstance(rollout.task.scorer, BoxesOverlap):
            return "boxes"
        return "points" if isinstance(rollout.task.scorer, PointInBox) else "text"

    def _boxes(self, named: Sequence[Detection], targets: Sequence[Detection]) -> float:
        if not named or not targets:
            return float(not named and not targets)
        power = 2 if self.squared else 1

        def overlap(one: Detection, target: Detection) -> float:
            return intersection_over_union(one.box, target.box) ** power

        def worth(one: Detection, target: Detection) -> float:
            fit = overlap(one, target)
            return fit + (fit > 0 and one.fits(target) > 0)

        pairs = best_pairs(named, targets, worth)
        ious = sum(overlap(one, target) for one, target in pairs)
        labels = sum(one.fits(target) > 0 for one, target in pairs)
        number = 2 * len(pairs) / (len(named) + len(targets))
        return (number + ious / len(targets) + labels / len(targets)) / 3

    def _points(self, named: Sequence[Point], rollout: Rollout) -> float:
        targets = [box.center for box in rollout.task.target_boxes]
        if not named or not targets:
            return float(not named and not targets)

        def nearness(one: Point, target: Point) -> float:
            return 1 - min(1.0, one.distance(target) / self.reach_px)

        pairs = best_pairs(named, targets, nearness)
        return sum(nearness(*pair) for pair in pairs) / max(len(named), len(targets))


def best_pairs(
    ones: Sequence[One], others: Sequence[Other], worth: Callable[[One, Other], float]
) -> list[tuple[One, Other]]:
    """The one-to-one matching of as many as possible whose total worth is largest (Hungarian).

    Args:
        ones: At least one.
        others: Likewise.
        worth: Finite.
    """
    from scipy.optimize import linear_sum_assignment  # core itself needs nothing

    table = [[worth(one, other) for other in others] for one in ones]
    rows, columns = linear_sum_assignment(table, maximize=True)
    return [(ones[int(i)], others[int(k)]) for i, k in zip(rows, columns, strict=True)]


def text_similarity(text: str, other: str) -> float:
    """1 - edit distance / longer length, in [0, 1], without case and outer blanks.

    Insertions, deletions and substitutions cost 1 each. Of longer texts the first 1,000 characters
    are compared: the time is the product of both lengths.
    """
    a, b = (one.strip().lower()[:1000] for one in (text, other))
    row = list(range(len(b) + 1))
    for i, character in enumerate(a, start=1):
        before, row = row, [i]
        for k, wanted_one in enumerate(b, start=1):
            substituted = before[k - 1] + (character != wanted_one)
            row.append(min(before[k] + 1, row[k - 1] + 1, substituted))
    return 1 - row[-1] / max(len(a), len(b)) if a or b else 1.0
