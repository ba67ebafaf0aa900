"""Right is the wrong span of a text that the question quotes (ViCrit)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class SpanMatch(Scorer):
    """1.0 for the task's answer, also with more words of the question beside it, as they stand
    there; else 0.0. Case and marks do not matter.

    Attributes:
        max_extra: Most words more. ViCrit allows any that are copied, and so all of the caption;
            how many it saw is not published, and this bound is ours.
    Source: ViCrit, arXiv:2506.10128 ("extra words allowed if copied from the caption"); the
        released evaluation (si0wang/ViCrit@727f1ee) takes any text that holds the first changed
        token, which is not done here.
    """

    max_extra: int = 3

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        given, right = words(unwrapped(answer or "")), words(task.answer)
        is_held = _holds(given, right) and len(given) <= len(right) + self.max_extra
        return float(is_held and (given == right or _holds(words(task.question), given)))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(words(answer))


def words(text: str) -> list[str]:
    """The words of a text in lower case, without marks.

    >>> words("The red disc, off-centre.")
    ['the', 'red', 'disc', 'off-centre']
    """
    return _WORD.findall(text.lower())


def _holds(text: list[str], part: list[str]) -> bool:
    """Whether a run of words stands in a text."""
    starts = range(len(text) - len(part) + 1)
    return bool(part) and any(text[i : i + len(part)] == part for i in starts)
