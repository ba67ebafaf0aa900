"""Boxes paid for recall AND precision: TreeVGR's dual IoU, its form for fixed windows, GRiP's
weights.

Recall alone pays for listing boxes: in TreeVGR's ablation accuracy falls to 0.0 as answers grow
without end; precision alone pays for one safe box. Order: with the paper's equal weights a wrong
answer with boxes and format (2.0) outscores a bare right one (1.0).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.places import (
    WHERE,
    Where,
    boxes_of,
    targets_of,
)
from vigorl.core.rewards.unit import UnitReward, check_choice, check_weights
from vigorl.core.rewards.words import tag_list
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import intersection_over_union

Fit = Callable[[Box, Box], float]  # (named box, target) -> [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class DualIoUReward(UnitReward):
    """(recall + precision) / 2 of the named boxes, without matching and without a threshold.

    recall = mean over targets of the best IoU with any named box; precision = mean over named boxes
    of the best IoU with any target. 0.0 when no box is named.

    Attributes:
        where: Where the boxes are named; the paper's are written in the thoughts.
        recall_weight: Share of recall, relative to that of precision; 0 leaves it out.
        precision_weight: Likewise.
    Source: TreeVGR, arXiv:2507.07999, section 4 (no training code was released).
    """

    where: Where = "thoughts"
    recall_weight: float = 0.5
    precision_weight: float = 0.5
    name: str = "dual_iou"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        _check_halves(self.name, self.recall_weight, self.precision_weight)

    def __call__(self, rollout: Rollout) -> float:
        targets, named = targets_of(rollout.task, self.name), boxes_of(rollout, self.where)
        salience = [1.0] * len(targets)
        halves = recall_and_precision(named, targets, salience, fit=intersection_over_union)
        return _weighted(halves, self.recall_weight, self.precision_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class DualCoverageReward(UnitReward):
    """The dual reward of windows of a fixed size, whose IoU with a small target is always small.

    recall = share of targets whose centre lies in some window, precision = share of windows that
    hold a target's centre. 0.0 without a look. Ours, after TreeVGR.

    Attributes:
        where: Where the windows are; the tools' by default.
        recall_weight: As in `DualIoUReward`.
        precision_weight: Likewise.
        length_factor: Times min(1, targets / windows), VLM-R1's factor against listing; with
            `precision_weight` 0 it is all that listing costs.
    """

    where: Where = "looks"
    recall_weight: float = 0.5
    precision_weight: float = 0.5
    length_factor: bool = False
    name: str = "dual_coverage"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        _check_halves(self.name, self.recall_weight, self.precision_weight)

    def __call__(self, rollout: Rollout) -> float:
        targets, named = targets_of(rollout.task, self.name), boxes_of(rollout, self.where)
        halves = recall_and_precision(named, targets, [1.0] * len(targets), fit=_covers_center)
        is_long = self.length_factor and len(named) > len(targets)
        factor = len(targets) / len(named) if is_long else 1.0
        return factor * _weighted(halves, self.recall_weight, self.precision_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalientIoUReward(UnitReward):
    """The dual reward with a weight per target: the asked object counts, a distractor does not.

    recall = sum_k s_k * best fit of k / sum_k s_k; precision = mean over named boxes of their best
    s_k * fit, relative to the largest s. Regions are the targets and, after them, the boxes in the
    tag "context" ("[40, 8, 90, 60]; [...]", ORIGINAL frame), which a look need not hit. A task
    gives the s of all of them in the tag "salience" ("1; 0.5"), all 1 without it; a distractor is a
    region with 0, or none at all.

    The paper's formula is not published (arXiv:2511.22172 and its model card name the reward
    alone): this one is ours, TreeVGR's with weights.

    Attributes:
        where: Where the boxes are.
        by_coverage: A box fits a target by holding its centre, not by its IoU: for fixed windows.
    Raises:
        ValueError: At a call: the tag is malformed, or gives no target a weight above 0.
    """

    where: Where = "thoughts"
    by_coverage: bool = False
    name: str = "salient_iou"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)

    def __call__(self, rollout: Rollout) -> float:
        task, named = rollout.task, boxes_of(rollout, self.where)
        regions = (*targets_of(task, self.name), *_context(task, self.name))
        salience = self._salience(task, num_regions=len(regions))
        fit = _covers_center if self.by_coverage else intersection_over_union
        return _weighted(recall_and_precision(named, regions, salience, fit=fit), 0.5, 0.5)

    def _salience(self, task: TaskRecord, *, num_regions: int) -> list[float]:
        tag = tag_list(task, "salience")
        try:
            found = [float(one) for one in tag] or [1.0] * num_regions
        except ValueError:
            found = []
        if not found or not all(math.isfinite(s) and s >= 0 for s in found) or not any(found):
            raise ValueError(
                f"reward {self.name!r}: tag 'salience' of task {task.id!r} must be numbers from 0 "
                f"on, not all 0, got {task.tags['salience']!r}"
            )
        if len(found) != num_regions:
            raise ValueError(
                f"reward {self.name!r}: tag 'salience' of task {task.id!r} lists {len(found)} for "
                f"{num_regions} regions: it needs one for each target and each box of the tag "
                "'context', separated by ';'"
            )
        return found


def _context(task: TaskRecord, reward: str) -> tuple[Box, ...]:
    """The boxes of the tag "context", ORIGINAL frame."""
    try:
        return tuple(Box(*map(float, json.loads(one))) for one in tag_list(task, "context"))
    except (ValueError, TypeError):
        raise ValueError(
            f"reward {reward!r}: tag 'context' of task {task.id!r} must be boxes "
            f'"[x1, y1, x2, y2]; ...", got {task.tags["context"]!r:.80}'
        ) from None


def recall_and_precision(
    named: Sequence[Box], targets: Sequence[Box], salience: Sequence[float], *, fit: Fit
) -> tuple[float, float]:
    """Both halves, each in [0, 1]; (0.0, 0.0) when nothing is named.

    Args:
        named: Boxes, in any number.
        targets: At least one.
        salience: One weight from 0 on per target, not all 0.
        fit: How well a named box fits a target.
    """
    if not named:
        return 0.0, 0.0
    fits = [[fit(box, target) for target in targets] for box in named]
    best = [max(row[k] for row in fits) for k in range(len(targets))]
    recall = sum(s * b for s, b in zip(salience, best, strict=True)) / sum(salience)
    highest = max(salience)
    paid = [max(s * f for s, f in zip(salience, row, strict=True)) / highest for row in fits]
    return recall, sum(paid) / len(paid)


def _covers_center(box: Box, target: Box) -> float:
    return float(box.contains(target.center))


def _check_halves(name: str, recall: float, precision: float) -> None:
    check_weights(name, {"recall_weight": recall, "precision_weight": precision})


def _weighted(halves: tuple[float, float], recall: float, precision: float) -> float:
    return (recall * halves[0] + precision * halves[1]) / (recall + precision)
