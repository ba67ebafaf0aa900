"""How well ONE named box fits the target: IoU, its square, GIoU, or a threshold.

VLM-R1's referring expressions (arXiv:2504.07615), Perception-R1's grounding (arXiv:2504.07954),
Visual-RFT's segmentation prompts and VLA-R1's boxes (arXiv:2510.01623) differ in this shape alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vigorl.core.geometry import Box
from vigorl.core.rewards.places import WHERE, Where, boxes_of, targets_of
from vigorl.core.rewards.unit import UnitReward, check_choice, check_shares
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import generalized_iou, intersection_over_union

Shape = Literal["iou", "iou_squared", "giou", "threshold"]


@dataclass(frozen=True, slots=True)
class BoxOverlapReward(UnitReward):
    """The overlap of the last box that is named with the target it fits best; 0.0 without a box.

    The last one counts, so that listing boxes does not pay.

    Attributes:
        shape: iou: the IoU (VLM-R1). iou_squared: its square, which pays close fits (the released
            code of Perception-R1; its paper has the IoU). giou: (GIoU + 1) / 2 (VLA-R1's released
            code), which tells a far miss from a near one. threshold: 1.0 from `min_iou` on.
        where: Where the box is named.
        min_iou: Of `threshold`.
    """

    shape: Shape = "iou"
    where: Where = "answer"
    min_iou: float = 0.5
    name: str = "box_overlap"

    def __post_init__(self) -> None:
        check_choice(self.name, get_args(Shape), shape=self.shape)
        check_choice(self.name, WHERE, where=self.where)
        check_shares(self.name, min_iou=self.min_iou)

    def __call__(self, rollout: Rollout) -> float:
        targets = targets_of(rollout.task, self.name)
        named = boxes_of(rollout, self.where)
        return max(self._fit(named[-1], target) for target in targets) if named else 0.0

    def _fit(self, box: Box, target: Box) -> float:
        if self.shape == "giou":
            return (generalized_iou(box, target) + 1) / 2
        iou = intersection_over_union(box, target)
        if self.shape == "threshold":
            return float(iou >= self.min_iou)
        return iou**2 if self.shape == "iou_squared" else iou
