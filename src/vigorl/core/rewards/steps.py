"""Each look judged by what it adds: correct, redundant or erroneous (ViRL), or right (Video-CoM).

A look is right when its window holds a target's centre, or its named box overlaps a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.geometry import Box
from vigorl.core.rewards.places import WHERE, Where, boxes_of, targets_of
from vigorl.core.rewards.unit import UnitReward, check_choice, check_shares
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import intersection_over_union


class Step(StrEnum):
    """What a look was good for."""

    CORRECT = "correct"  # it holds a target that no look before held
    REDUNDANT = "redundant"  # it holds targets, all of them held before
    ERRONEOUS = "erroneous"  # it holds none


@dataclass(frozen=True, slots=True, kw_only=True)
class LookStepsReward:
    """The mean over the looks of `correct` / 0 / -`erroneous`; 0.0 without a look.

    The paper (ViRL, arXiv:2511.23031) says that steps are told apart so; neither formula nor
    weights were found in what could be read: both are ours. Credit per step is an algorithm's; here
    is one number for a rollout.

    Attributes:
        correct: Of a look at a target that is new, in [0, 1].
        erroneous: Price of a look at none, in [0, 1].
    """

    correct: float = 1.0
    erroneous: float = 0.5
    name: str = "look_steps"

    def __post_init__(self) -> None:
        check_shares(self.name, correct=self.correct, erroneous=self.erroneous)

    @property
    def range(self) -> tuple[float, float]:
        return (-self.erroneous, self.correct)

    def __call__(self, rollout: Rollout) -> float:
        targets = targets_of(rollout.task, self.name)
        worth = {Step.CORRECT: self.correct, Step.REDUNDANT: 0.0, Step.ERRONEOUS: -self.erroneous}
        steps = [worth[step] for step in judge_looks(boxes_of(rollout, "looks"), targets)]
        return sum(steps) / len(steps) if steps else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RightStepsReward(UnitReward):
    """Right steps over steps; 0.0 without a step, so that silence is not paid.

    One safe look gives the whole: 1.0 on a question that needs two, unless `with_recall`.

    Attributes:
        where: Where the steps are: the tools' looks, or boxes in thoughts.
        only_new: A step is right only if it holds a target that no step before held.
        box_iou: Smallest IoU of a right box; None: it holds the target's centre, for windows.
        with_recall: Times the share of targets that are held; ours.
    Source: Video-CoM, arXiv:2511.23477; mbzuai-oryx/Video-CoM@b58b6ce,
        train/src/train/reward_funcs.py (IoU from 0.35; segments and frames are for videos). With
        its weight of 1 a wrong answer whose steps are all right ties with a right one without.
    """

    where: Where = "looks"
    only_new: bool = False
    box_iou: float | None = None
    with_recall: bool = False
    name: str = "right_steps"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        if self.box_iou is not None:
            check_shares(self.name, box_iou=self.box_iou)

    def __call__(self, rollout: Rollout) -> float:
        targets, named = targets_of(rollout.task, self.name), boxes_of(rollout, self.where)
        if not named:
            return 0.0
        steps = judge_looks(named, targets, min_iou=self.box_iou)
        wrong = {Step.ERRONEOUS, Step.REDUNDANT} if self.only_new else {Step.ERRONEOUS}
        share = sum(step not in wrong for step in steps) / len(steps)
        if not self.with_recall:
            return share
        held = {k for box in named for k in _held(box, targets, self.box_iou)}
        return share * len(held) / len(targets)


def judge_looks(
    looks: list[Box], targets: tuple[Box, ...], *, min_iou: float | None = None
) -> list[Step]:
    """What each look was good for, in order.

    Args:
        looks: ORIGINAL frame.
        targets: Likewise.
        min_iou: Smallest IoU with a target that is held; None: its centre lies in the look.
    """
    seen, steps = set[int](), list[Step]()
    for look in looks:
        held = _held(look, targets, min_iou)
        steps.append(Step.CORRECT if held - seen else Step.REDUNDANT if held else Step.ERRONEOUS)
        seen |= held
    return steps


def _held(look: Box, targets: tuple[Box, ...], min_iou: float | None) -> set[int]:
    if min_iou is None:
        return {k for k, target in enumerate(targets) if look.contains(target.center)}
    return {
        k for k, target in enumerate(targets) if intersection_over_union(look, target) >= min_iou
    }
