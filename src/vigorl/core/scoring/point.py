"""Right is any point in a box, as in web grounding."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigorl.core.geometry import Box, Point
from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.trace import parse_point

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord


@dataclass(frozen=True, slots=True)
class PointInBox(Scorer):
    """1.0 for "(x, y)" in the picture's text frame, inside the box (edges count), else 0.0; quotes
    around it and a mark behind it are forgiven, other words are not.

    Attributes:
        box: ORIGINAL-frame box of the first picture; None until a task's answer has said it
            (`for_answer`), and then no answer can be judged.
    """

    box: Box | None = None

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        if self.box is None:
            raise ValueError(f"task {task.id}: a point needs a box to hit, PointInBox(box=...)")
        if view is None or view.box is not None:
            raise ValueError(f"task {task.id}: a point is judged on the whole picture's view")
        point = self.place(answer, view=view)
        return float(point is not None and self.box.contains(view.to_original(point)))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return self.place(answer, view=view) is not None

    def place(self, answer: str, *, view: ImageView) -> Point | None:
        point = parse_point(answer.strip(" \t\n\"'`*.,;!"))
        return point if point is not None and view.holds(point) else None

    @property
    def is_place(self) -> bool:
        return True

    @property
    def boxes(self) -> tuple[Box, ...]:
        return () if self.box is None else (self.box,)

    def for_answer(self, answer: str) -> PointInBox:
        """With the box of "(x1, y1, x2, y2)", as the released web-grounding data writes it."""
        return replace(self, box=_read_box(answer))

    def answer_text(self, answer: str) -> str:
        return answer if self.box is None else box_text(self.box)


def box_text(box: Box) -> str:
    """The answer of a task with a box to hit, as files write it: "(x1, y1, x2, y2)"."""
    edges = (int(edge) if float(edge).is_integer() else edge for edge in box.as_tuple())
    return f"({', '.join(map(str, edges))})"


def _read_box(text: str) -> Box:
    wrong = f'must be a box "(x1, y1, x2, y2)", got {text!r}'
    try:
        numbers = json.loads("[" + text.strip().removeprefix("(").removesuffix(")") + "]")
    except json.JSONDecodeError:
        raise ValueError(wrong) from None
    if len(numbers) != 4 or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(wrong)
    return Box(*numbers)
