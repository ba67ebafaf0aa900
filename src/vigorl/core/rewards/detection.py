"""Lists of boxes, with labels and confidences: Visual-RFT and VLM-R1.

An answer lists objects such as {"bbox_2d": [x1, y1, x2, y2], "label": "disc", "confidence": 0.9},
or bare boxes, which count as confident and of any label. A task names the labels of its targets in
the tag "labels" ("red disc; blue square"); without it labels do not matter.

A task without targets has nothing to find: an answer without boxes is 1.0, any other 0.0.

Looks can stand for boxes: windows of a fixed size, which fit a target by holding its centre.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.media import ImageView
from vigorl.core.rewards.places import WHERE, Where, boxes_of, per_target, text_at
from vigorl.core.rewards.unit import UnitReward, check_choice, check_shares
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import find_boxes, intersection_over_union

Divisor = Literal["predicted", "larger", "targets"]

_OBJECT = re.compile(r"\{[^{}]*\}")
_LABEL = re.compile(r"[\"'](?:label|class|name)[\"']\s*:\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
_CONFIDENCE = re.compile(
    r"[\"'](?:confidence|score)[\"']\s*:\s*[\"']?(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Detection:
    """A box that an answer names.

    Attributes:
        box: ORIGINAL frame.
        label: In lower case; "" where none is named.
        confidence: In [0, 1]; 1.0 where none is named.
        is_window: It is a look, not a box that is named.
    """

    box: Box
    label: str = ""
    confidence: float = 1.0

    is_window: bool = False

    def fits(self, target: Detection) -> float:
        """Its IoU with a target, or whether, as a window, it holds the target's centre; 0.0 where
        both name labels and these differ.
        """
        if self.label and target.label and self.label != target.label:
            return 0.0
        if self.is_window:
            return float(self.box.contains(target.box.center))
        return intersection_over_union(self.box, target.box)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionIoUReward(UnitReward):
    """The sum of the IoU of matched boxes, over a divisor that decides what listing costs.

    Boxes are rid of repeats, sorted by confidence, and each takes the free target it fits best if
    its IoU is above `min_iou`.

    Attributes:
        divisor: predicted: boxes named (the paper, and the first release; one sure box wins).
            larger: the larger of boxes and targets (the second release). targets: targets, which is
            recall alone, and lets boxes multiply.
        min_iou: An IoU up to it counts 0.
        where: Where the boxes are.
    Source: Visual-RFT, arXiv:2503.01785; Liuziyu77/Visual-RFT@9486633,
        src/virft/src/open_r1/grpo.py.
    """

    divisor: Divisor = "larger"
    min_iou: float = 0.5
    where: Where = "answer"
    name: str = "detection_iou"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_choice(self.name, get_args(Divisor), divisor=self.divisor)
        check_shares(self.name, min_iou=self.min_iou)

    def __call__(self, rollout: Rollout) -> float:
        named, targets = detected(rollout, self.where), wanted(rollout, self.name)
        if not targets or not named:
            return float(not targets and not named)
        matched = match_by_confidence(named, targets, min_iou=self.min_iou)
        sizes = {"predicted": len(matched), "targets": len(targets)}
        return sum(matched) / sizes.get(self.divisor, max(sizes.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceReward(UnitReward):
    """The mean over the named boxes of c where the box is matched, else of 1 - c; c its confidence.

    0.0 without boxes, unless there is nothing to find.

    Attributes:
        min_iou: As in `DetectionIoUReward`.
        where: Likewise.
    Source: as there.
    """

    min_iou: float = 0.5
    where: Where = "answer"
    name: str = "confidence"

    def __post_init__(self) -> None:
        check_choice(self.name, WHERE, where=self.where)
        check_shares(self.name, min_iou=self.min_iou)

    def __call__(self, rollout: Rollout) -> float:
        named, targets = detected(rollout, self.where), wanted(rollout, self.name)
        if not named:
            return float(not targets)
        ranked = _ranked(named)
        matched = match_by_confidence(named, targets, min_iou=self.min_iou)
        kept = [
            one.confidence if iou else 1 - one.confidence
            for one, iou in zip(ranked, matched, strict=True)
        ]
        return sum(kept) / len(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecisionReward(UnitReward):
    """Mean average precision of the named boxes, mean over labels and thresholds.

    The rule of COCO: boxes in the order in which they are named, since all scores are 1.0; per
    threshold each takes the free target it fits best; precision made monotone and read at 101
    recalls. Boxes of a label that no target has are left out, as in the release.

    Attributes:
        thresholds: Smallest IoUs of a match; the release reads COCO's figure at 0.5.
        length_factor: Times min(1, targets / named boxes), against the hack of listing boxes
            ("odLength").
    Source: VLM-R1, arXiv:2504.07615; om-ai-lab/VLM-R1@90052f4, open_r1/grpo_jsonl.py and
        vlm_modules/qwen_module.py.
    """

    thresholds: Sequence[float] = (0.5,)
    length_factor: bool = True
    name: str = "average_precision"

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if not self.thresholds or not all(0 < one <= 1 for one in self.thresholds):
            raise ConfigError(
                f"reward {self.name!r}: thresholds must be above 0 and up to 1, at least one, "
                f"got {list(self.thresholds)}"
            )

    def __call__(self, rollout: Rollout) -> float:
        named, targets = detected(rollout), wanted(rollout, self.name)
        if not targets or not named:
            return float(not targets and not named)
        found = [
            average_precision(
                [one for one in named if one.label in ("", label)],
                [one for one in targets if one.label == label],
                min_iou=threshold,
            )
            for label in sorted({one.label for one in targets})
            for threshold in self.thresholds
        ]
        factor = min(1.0, len(targets) / len(named)) if self.length_factor else 1.0
        return factor * sum(found) / len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedDetectionReward(UnitReward):
    """VLM-R1's "weighted sum": place * sum of IoU / targets + (1 - place) * (1 - (missed + false) /
    2).

    Boxes are matched from an IoU of 0.5 on; a wrong label makes an IoU 0. missed is the share of
    targets without a box, false the share of boxes without a target. Matched one to one, largest
    IoU first (the card does not say in which order the release does).

    Attributes:
        place_weight: What the place counts (the paper 0.7), in [0, 1].
    Source: VLM-R1's blog of 2025-03-24 and release, as in `AveragePrecisionReward`.
    """

    place_weight: float = 0.7
    name: str = "weighted_detection"

    def __post_init__(self) -> None:
        check_shares(self.name, place_weight=self.place_weight)

    def __call__(self, rollout: Rollout) -> float:
        named, targets = detected(rollout), wanted(rollout, self.name)
        if not targets or not named:
            return float(not targets and not named)
        ious = match_by_iou(named, targets, min_iou=0.5)
        missed, false = 1 - len(ious) / len(targets), 1 - len(ious) / len(named)
        whole = 1 - (missed + false) / 2
        return self.place_weight * sum(ious) / len(targets) + (1 - self.place_weight) * whole


def find_detections(text: str, *, view: ImageView) -> list[Detection]:
    """The boxes of a text in order, with what stands beside them in the same {...}; bare boxes
    where it has no such object.
    """
    objects = _OBJECT.findall(text)
    if not objects:
        return [Detection(box) for box in find_boxes(text, view=view)]
    return [one for part in objects if (one := _read(part, view)) is not None]


def detected(rollout: Rollout, where: Where = "answer") -> list[Detection]:
    """What the rollout names there, or looks at."""
    if where == "looks":
        return [Detection(box, is_window=True) for box in boxes_of(rollout, "looks")]
    return find_detections(text_at(rollout, where), view=rollout.prompt_views[0])


def wanted(rollout: Rollout, reward: str) -> list[Detection]:
    """The task's targets, with the labels of its tag.

    Raises:
        ValueError: The tag lists another number of labels than there are targets.
    """
    targets = rollout.task.target_boxes
    labels = per_target(rollout.task, "labels", reward) or ("",) * len(targets)
    return [Detection(box, label.lower()) for box, label in zip(targets, labels, strict=True)]


def match_by_confidence(
    named: Sequence[Detection], targets: Sequence[Detection], *, min_iou: float
) -> list[float]:
    """Per distinct box, most confident first, the IoU with the free target it fits best; 0.0 where
    that is not above `min_iou`.
    """
    free, matched = list(targets), list[float]()
    for one in _ranked(named):
        best = max(free, key=one.fits, default=None)
        iou = one.fits(best) if best is not None else 0.0
        matched.append(iou if iou > min_iou else 0.0)
        if best is not None and iou > min_iou:
            free.remove(best)
    return matched


def match_by_iou(
    named: Sequence[Detection], targets: Sequence[Detection], *, min_iou: float
) -> list[float]:
    """The IoU of each pair of a one-to-one matching, largest first, from `min_iou` on."""
    pairs = [(one.fits(t), i, k) for i, one in enumerate(named) for k, t in enumerate(targets)]
    used: tuple[set[int], set[int]] = (set(), set())
    ious = list[float]()
    for iou, i, k in sorted(pairs, key=lambda pair: -pair[0]):
        if iou >= min_iou and i not in used[0] and k not in used[1]:
            used[0].add(i)
            used[1].add(k)
            ious.append(iou)
    return ious


def average_precision(
    named: Sequence[Detection], targets: Sequence[Detection], *, min_iou: float
) -> float:
    """COCO's average precision of boxes in order, in [0, 1]; 0.0 without boxes.

    Args:
        named: In descending order of their score.
        targets: At least one.
        min_iou: Smallest IoU of a match.
    """
    free, hits, precisions, recalls = list(targets), 0, list[float](), list[float]()
    for number, one in enumerate(named, start=1):
        best = max(free, key=one.fits, default=None)
        if best is not None and one.fits(best) >= min_iou:
            free.remove(best)
            hits += 1
        precisions.append(hits / number)
        recalls.append(hits / len(targets))
    read = (
        max((p for p, r in zip(precisions, recalls, strict=True) if r >= step / 100), default=0.0)
        for step in range(101)
    )
    return sum(read) / 101


def _ranked(named: Sequence[Detection]) -> list[Detection]:
    return sorted(dict.fromkeys(named), key=lambda one: -one.confidence)


def _read(text: str, view: ImageView) -> Detection | None:
    boxes = find_boxes(text, view=view)
    if not boxes:
        return None
    label, confidence = _LABEL.search(text), _CONFIDENCE.search(text)
    return Detection(
        boxes[0],
        label[1].strip().lower() if label else "",
        min(float(confidence[1]), 1.0) if confidence else 1.0,
    )
