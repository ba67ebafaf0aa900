"""What a way to judge an answer promises.

A scorer is a frozen dataclass that inherits from `Scorer`. Whoever makes a task names it, records
keep it as its import path and its fields (`data.plain`), and nothing else has to know of it:

    @dataclass(frozen=True, slots=True)
    class OneOf(Scorer):
        accepted: tuple[str, ...]

        def score(self, answer, task, *, view=None):
            return float(answer in self.accepted)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.geometry import Box, Point
from vigorl.core.media import ImageView

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord


class Scorer(ABC):
    """Judges the answers to a task; `score` is all that most have to write."""

    __slots__ = ()

    # the right answer is the task's `answer`, and any other answer could stand in its place
    goes_by_answer: ClassVar[bool] = False

    @abstractmethod
    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        """How right an answer is, from 0.0 to 1.0; 1.0 is wholly right.

        Args:
            answer: The answer's text; None when there is none.
            task: The question.
            view: The first picture of the prompt, whole; a place in the answer is in its text
                frame. None where the answer is judged without its picture.
        Raises:
            ValueError: The answer cannot be judged without a picture, and there is none.
        """

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        """Whether the answer is of the kind asked for, right or wrong."""
        return True

    def place(self, answer: str, *, view: ImageView) -> Point | None:
        """The place that an answer is, in the text frame of `view`; None when it is none on it."""
        return None

    @property
    def is_place(self) -> bool:
        """Whether answers are coordinates, which move when the picture is shown at another size."""
        return False

    @property
    def boxes(self) -> tuple[Box, ...]:
        """ORIGINAL-frame boxes of the first picture that a right answer hits."""
        return ()

    def for_answer(self, answer: str) -> Scorer:
        """This way of judging for a task whose right answer a file writes so.

        Raises:
            ValueError: No right answer is written so; says how it must be.
        """
        return self

    def answer_text(self, answer: str) -> str:
        """How a file writes the right answer `answer`, for `for_answer` to read."""
        return answer
