"""What a data set gives: tasks to answer and traces to imitate, one frozen record per row.

`TaskRecord` is one question with its picture and its right answer. `TraceRecord` is a task together
with one worked solution. Readers in `data/sources` make them; everything later only reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.geometry import Box, Size
from vigorl.core.trace import Trace


class AnswerKind(StrEnum):
    """How an answer is judged right."""

    TEXT = "text"  # equal to the right option after normalisation
    POINT = "point"  # a point "(x, y)" inside `TaskRecord.answer_box`
    ACTION = "action"  # a web action such as "click [12]"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One question about one picture.

    Attributes:
        id: Unique in its data set.
        question: The text put to the policy; one `<image>` per entry of `images`, or none for
            "before the text".
        answer: The right answer as text (the option's text, "(x, y)" box text, or an action).
        images: Picture files; the first is the one that is zoomed into.
        answer_kind: How `answer` is judged.
        options: Multiple-choice texts in the order shown, the right one equal to `answer`; empty
            when the question is open.
        answer_box: ORIGINAL-frame box that a POINT answer must hit.
        targets: ORIGINAL-frame boxes that must be seen to answer (V*Bench ships them); empty when
            unknown.
        category: The data set's own split by kind, such as "direct_attributes".
        source: "file:line" or file name, for error messages and for the run's record.
    """

    id: str
    question: str
    answer: str
    images: tuple[str, ...]
    answer_kind: AnswerKind = AnswerKind.TEXT
    options: tuple[str, ...] = ()
    answer_box: Box | None = None
    targets: tuple[Box, ...] = ()
    category: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """A task with one worked solution.

    Attributes:
        task: The question that is answered.
        trace: The turns of the solution.
        frame: The size that the trace's coordinates refer to, such as the pixels of the picture as
            its teacher saw it, or 1000 x 1000; None when it is the frame that the model will use.
        system: The system prompt it was written under, where that differs from the run's own; None:
            the run's.
    """

    task: TaskRecord
    trace: Trace
    frame: Size | None = None
    system: str | None = None
