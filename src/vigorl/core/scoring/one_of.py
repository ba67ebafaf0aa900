"""Right is any of several answers, as texts or as numbers; and MMMU's own rule for open questions.

GQA's single word is `TextMatch` on a question without options.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.number import quantities
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import is_same_answer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord


@dataclass(frozen=True, slots=True)
class OneOf(Scorer):
    """1.0 for an answer that equals one of the accepted ones, as a text or as a number, else 0.0.

    Attributes:
        accepted: Right answers besides the task's own.
    """

    accepted: tuple[str, ...] = ()

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        return float(any(_is_same(answer, one) for one in (task.answer, *self.accepted)))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(unwrapped(answer))

    def for_answer(self, answer: str) -> OneOf:
        """With all of "['a', 'b']", as MMMU writes several right answers; any other text is one."""
        found = accepted_answers(answer)
        return self if found == (answer,) else replace(self, accepted=(*self.accepted, *found))


@dataclass(frozen=True, slots=True)
class MmmuOpen(OneOf):
    """MMMU's own rule for open questions: right where an accepted text stands IN one of the
    candidates that the answer holds, or an accepted number is one of them, to two decimals.

    It gives false credit ("not red" for "red", "3 or 4" for "3"); for comparison with published
    numbers.
    Source: MMMU-Benchmark/MMMU@bb0b95a, mmmu/utils/eval_utils.py.
    """

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        accepted = self.accepted or accepted_answers(task.answer)
        return float(is_open_right(accepted, open_candidates(answer)))


def accepted_answers(text: str) -> tuple[str, ...]:
    """The answers of a Python list of texts; the text itself where it is none."""
    if text.strip().startswith("["):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return (text,)
        if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
            return tuple(found)
    return (text,)


def _is_same(answer: str, right: str) -> bool:
    if is_same_answer(answer, right):
        return True
    a, b = quantities(answer, right)
    return a is not None and b is not None and a == b


_STARTS = (
    "could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ",
)  # fmt: skip


def open_candidates(response: str) -> list[str | float]:
    """What MMMU's code takes for answers in a response to an open question: ends of sentences
    behind "is", "answer" and such, and all numbers.
    """
    response = response.strip().strip(".").lower()
    found: list[str] = []
    lines = re.split(r"\.\s(?=[A-Z])|\n", response)
    for number, line in enumerate(lines):
        shortest = ""
        for key in [*_STARTS, *(["="] if number == len(lines) - 1 else [])]:
            end = line.split(key)[-1].strip()
            if key in line and (not shortest or len(end) < len(shortest)):
                shortest = end
        if shortest and shortest not in {":", ",", ".", "!", "?", ";", "'"}:
            found.append(shortest)
    kept = found or [response]
    numbers = [one for text in kept for one in _numbers(text)]
    return list(dict.fromkeys(value for one in [*kept, *numbers] for value in _normalized(one)))


def is_open_right(accepted: Iterable[str], candidates: Sequence[str | float]) -> bool:
    """Whether MMMU's code calls the candidates right."""
    right = [value for one in accepted for value in _normalized(one)]
    for one in candidates:
        if isinstance(one, str):
            if any(isinstance(value, str) and value in one for value in right):
                return True
        elif one in right:
            return True
    return False


def _numbers(text: str) -> list[str]:
    return [
        *re.findall(r"-?\b\d{1,3}(?:,\d{3})+\b", text),
        *re.findall(r"-?\d+(?:\.\d+)?[eE][+-]?\d+", text),
        *re.findall(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])", text),
    ]


def _normalized(text: str) -> list[str | float]:
    """A number to two decimals, or a text in lower case; a single letter only as a word."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
