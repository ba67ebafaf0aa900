"""What a data set gives: tasks to answer and traces to imitate, one frozen record per row.

`TaskRecord` is one question with its picture and its right answer. `TraceRecord` is a task together
with one worked solution. Readers in `data/sources` make them; everything later only reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vigorl.core.geometry import Box, Size
from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch
from vigorl.core.trace import Trace

_BY_TEXT = TextMatch()


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One question about one picture.

    Attributes:
        id: Unique in its data set.
        question: The text put to the policy; one `<image>` per entry of `images`, or none for
            "before the text".
        answer: The right answer as text (the option's text, "(x, y)" box text, or an action).
        images: Picture files; the first is the one that is zoomed into.
        scorer: Judges answers to it.
        options: Multiple-choice texts in the order shown, the right one equal to `answer`; empty
            when the question is open.
        targets: ORIGINAL-frame boxes that must be seen to answer (V*Bench ships them); empty when
            unknown.
        category: The data set's own split by kind, such as "direct_attributes".
        cluster: Questions that share it share their luck, such as those on one picture or the
            orders of one question's options; "": its first picture.
        tags: Further ways to split the questions, such as {"level": "3", "platform": "web"}.
        source: "file:line" or file name, for error messages and for the run's record.
    """

    id: str
    question: str
    answer: str
    images: tuple[str, ...]
    scorer: Scorer = _BY_TEXT
    options: tuple[str, ...] = ()
    targets: tuple[Box, ...] = ()
    category: str = ""
    cluster: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str = ""

    @property
    def target_boxes(self) -> tuple[Box, ...]:
        """What must be seen or hit, ORIGINAL frame of the first picture, each box once."""
        return tuple(dict.fromkeys(self.targets + self.scorer.boxes))

    def score(self, answer: str | None, *, view: ImageView | None = None) -> float:
        """How right an answer is, in [0, 1]; see `Scorer.score`."""
        return self.scorer.score(answer, self, view=view)

    def is_right(self, answer: str | None, *, view: ImageView | None = None) -> bool:
        """Whether an answer is wholly right."""
        return self.score(answer, view=view) == 1.0


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
