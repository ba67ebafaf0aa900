"""Right is the text of the right option, or of the right answer to an open question.

Equality after normalising, never substring matching: "not red" is not "red". The released judge
accepts a right answer inside a longer prediction (vlmsearch/reward_funcs/judge.py); this one does
not, because a policy soon learns to name every option.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_OPENING = " \t\n\"'`*_([{,:;“”‘’«"
_CLOSING = " \t\n\"'`*_)]}.,:;!?“”‘’»"
_LETTER_ALONE = re.compile(r"\(?([a-z])\)?[.:]?")
_LETTER_PREFIX = re.compile(r"(?:\(([a-z])\)\s*|([a-z])\)\s*|([a-z])[.:]\s+)(?=\S)")


@dataclass(frozen=True, slots=True)
class TextMatch(Scorer):
    """1.0 for an answer equal to the right one after normalising, else 0.0.

    When the task has options, the letter of the right one alone also counts ("B", "(B)"), unless an
    option is itself a single letter; a letter that contradicts the text after it is wrong.
    """

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        return 0.0 if answer is None else float(_equals_option(answer, task))


def normalize_answer(text: str) -> str:
    """The form in which two answer texts are compared.

    Unicode NFKC, case folded, white space joined, an option letter in front removed ("A. red",
    "(b) red", "a) red"), surrounding quotes, brackets, emphasis and sentence marks removed. Signs
    and units stay ("-5", "5%", "c++"). A text of punctuation alone is kept as it is.

    >>> normalize_answer(" (B)  Light Red. ")
    'light red'
    """
    return _split_letter(_fold(text))[1]


def _equals_option(answer: str, task: TaskRecord) -> bool:
    given, right = _fold(answer), _fold(task.answer)
    if given == right:
        return True
    options = [_fold(option) for option in task.options]
    alone = _LETTER_ALONE.fullmatch(given)
    if alone and options and not any(_LETTER_ALONE.fullmatch(option) for option in options):
        return _option_at(alone[1], options) == _split_letter(right)[1]
    given_letter, given_text = _split_letter(given)
    right_letter, right_text = _split_letter(right)
    if given_text != right_text:
        return False
    if given_letter and options and not right_letter:
        return _option_at(given_letter, options) == right_text
    return not (given_letter and right_letter and given_letter != right_letter)


def _option_at(letter: str, options: list[str]) -> str | None:
    index = ord(letter) - ord("a")
    return _split_letter(options[index])[1] if index < len(options) else None


def _fold(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    if _LETTER_PREFIX.match(folded):  # its opening bracket is no surrounding punctuation
        return folded.rstrip(_CLOSING) or folded
    return folded.lstrip(_OPENING).rstrip(_CLOSING) or folded


def _split_letter(folded: str) -> tuple[str, str]:
    """The option letter in front, or "", and the text behind it."""
    match = _LETTER_PREFIX.match(folded)
    if match is None:
        return "", folded
    return match[1] or match[2] or match[3], _fold(folded[match.end() :])
