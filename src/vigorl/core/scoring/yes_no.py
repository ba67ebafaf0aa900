"""Right is yes or no, whatever is said behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import fold_answer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_WORD = re.compile(r"[a-z]+|[^\W\d_]+")
_NO_NO = re.compile(
    r"no\.?\s*(?:\d|idea|clue|answer|way\b|opinion|comment|information|evidence|one\b|image|picture)"
)
_YES, _NO = ("yes", "是", "是的", "对", "有"), ("no", "否", "不", "不是", "没有")


@dataclass(frozen=True, slots=True)
class YesNo(Scorer):
    """1.0 for the right one of "yes" and "no", else 0.0.

    The answer's first word says it, once its wrapping is off; one that holds both words, or that
    only begins like one ("No idea", "No. 5", "not"), is neither.
    """

    goes_by_answer = True

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        given = None if answer is None else read_yes_no(answer)
        return float(given is not None and given == read_yes_no(task.answer))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return read_yes_no(answer) is not None

    def for_answer(self, answer: str) -> YesNo:
        if read_yes_no(answer) is None:
            raise ValueError(f'must be "yes" or "no", got {answer!r:.60}')
        return self


def read_yes_no(text: str) -> bool | None:
    """Whether an answer says yes; None when it says neither, or both.

    >>> read_yes_no("Yes, there is."), read_yes_no("No."), read_yes_no("yes or no")
    (True, False, None)
    """
    folded = fold_answer(unwrapped(text))
    words = _WORD.findall(folded)
    if not words or _NO_NO.match(folded) or not {"yes", "no"}.isdisjoint(words[1:]):
        return None
    first = words[0] if words[0] in ("yes", "no") else folded
    return True if first in _YES else False if first in _NO else None
