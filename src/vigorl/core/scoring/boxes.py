"""Right are boxes that overlap those of the targets, as in grounded answers (TreeBench)."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigorl.core.geometry import Box
from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_N = r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*"
_FOUR = re.compile(rf"[\[(]{_N},{_N},{_N},{_N}[\])]")
_CORNERS = re.compile(rf"[\[(]{_N},{_N}[\])]\s*,?\s*[\[(]{_N},{_N}[\])]")


@dataclass(frozen=True, slots=True)
class BoxesOverlap(Scorer):
    """The mean over the targets of the best IoU of any box in the answer, in [0, 1].

    Attributes:
        targets: ORIGINAL-frame boxes of the first picture; those of the task when empty.
        threshold: IoU from which a target counts 1.0, and below it 0.0; None: its IoU.
    """

    targets: tuple[Box, ...] = ()
    threshold: float | None = None

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        targets = self.targets or task.targets
        if not targets:
            raise ValueError(f"task {task.id}: boxes need targets, BoxesOverlap(targets=...)")
        if view is None or view.box is not None:
            raise ValueError(f"task {task.id}: boxes are judged on the whole picture's view")
        found = [] if answer is None else find_boxes(answer, view=view)
        best = best_overlaps(found, targets)
        if self.threshold is not None:
            best = [float(one >= self.threshold) for one in best]
        return statistics.fmean(best)

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(find_boxes(answer, view=view))

    @property
    def is_place(self) -> bool:
        return True

    @property
    def boxes(self) -> tuple[Box, ...]:
        return self.targets

    def for_answer(self, answer: str) -> BoxesOverlap:
        """With the boxes of "[[x1, y1, x2, y2], ...]", or of one of them alone."""
        return replace(self, targets=_read_boxes(answer))

    def answer_text(self, answer: str) -> str:
        return json.dumps([one.as_tuple() for one in self.targets]) if self.targets else answer


def find_boxes(text: str, *, view: ImageView) -> list[Box]:
    """The ORIGINAL-frame boxes that a text names, in order.

    "[x1, y1, x2, y2]" or "(x1, y1), (x2, y2)" in the text frame of `view`, whatever tags or words
    stand around it; decimals and blanks do not matter. What is no box, such as [5, 5, 5, 9], is
    left out.
    """
    found = [*_FOUR.finditer(text), *_CORNERS.finditer(text)]
    numbers = (map(float, match.groups()) for match in sorted(found, key=re.Match.start))
    return [
        view.box_to_original(Box(x1, y1, x2, y2))
        for x1, y1, x2, y2 in numbers
        if x1 < x2 and y1 < y2
    ]


def intersection_over_union(a: Box, b: Box) -> float:
    """In [0, 1]."""
    shared, union = _shared_and_union(a, b)
    return shared / union


def generalized_iou(a: Box, b: Box) -> float:
    """The IoU less the share of the smallest box around both that neither covers, in (-1, 1].

    It still has a slope where the boxes do not touch. Source: arXiv:1902.09630.
    """
    shared, union = _shared_and_union(a, b)
    around = Box(
        min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom)
    )
    return shared / union - (_area(around) - union) / _area(around)


def best_overlaps(found: Sequence[Box], targets: Sequence[Box]) -> list[float]:
    """[targets] the IoU of each with the best of the boxes; 0.0 where there are none."""
    return [max((intersection_over_union(one, t) for one in found), default=0.0) for t in targets]


def box_numbers(text: str, targets: Sequence[Box], *, view: ImageView) -> dict[str, float]:
    """For `Benchmark.extras`: "answered_boxes" is 1.0 where the text names a box, "iou" the mean of
    the best IoU per target (0.0 without boxes), "iou_where_answered" the same where it names one;
    empty where there are no targets.
    """
    if not targets:
        return {}
    found = find_boxes(text, view=view)
    iou = statistics.fmean(best_overlaps(found, targets))
    numbers = {"answered_boxes": float(bool(found)), "iou": iou}
    return numbers | ({"iou_where_answered": iou} if found else {})


def _shared_and_union(a: Box, b: Box) -> tuple[float, float]:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared, _area(a) + _area(b) - shared


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _read_boxes(text: str) -> tuple[Box, ...]:
    wrong = f'must be boxes "[[x1, y1, x2, y2], ...]", got {text!r:.80}'
    try:
        value = json.loads(text.replace("(", "[").replace(")", "]"))
        rows = value if value and isinstance(value[0], list) else [value]
        return tuple(Box(*map(float, row)) for row in rows)
    except (ValueError, TypeError, KeyError):
        raise ValueError(wrong) from None
