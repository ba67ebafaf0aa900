"""Right is the text of the right option, or of the right answer to an open question.

An answer to a question with options is resolved to the INDEX of one of them, and indices are
compared, so options that differ in a mark, a case or a superscript alone stay apart. Equality,
never substring matching: "not red" is not "red". The released judge accepts a right answer inside a
longer prediction (vlmsearch/reward_funcs/judge.py); this one does not, because a policy soon learns
to name every option.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), 0x2060, 0xFEFF])
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_PAIRS = {"()", "[]", "{}", '""', "''", "“”", "‘’", "«»", "「」", "『』", "【】", "《》", "（）"}
_EMPHASIS = re.compile(r"(?<![\w*])\*\*(?=\S)([^*]+)(?<=\S)\*\*(?![\w*])")  # never 2**3
_POWER = re.compile(r"\d\s?[²³¹⁰⁴-⁹]")  # in NFKC a further digit
_MARKS = " \t\n.,:;!?。、，：；！？*_`"
_OPENING = " \t\n\"'`*_([{,:;“”‘’«「『【《、"
_CLOSING = " \t\n\"'`*_)]}.,:;!?“”‘’»」』】》、。"
_WORD = r"(?:(?:option|choice|answer)\b\W*)?"
_ALONE = re.compile(_WORD + r"[(\[【「]?([a-z])[)\]】」]?[.,:;、。]*")
_QUOTED_LETTER = re.compile(r"""(?<!\w)(?:(["'`])([a-z])\1|“([a-z])”|‘([a-z])’)(?!\w)""", re.I)
_QUOTES = {"''", '""', "``", "“”", "‘’", "«»", "「」", "『』"}
# "A. red", "(b) red", "a) red"; and, where an option has to follow, also "A.red" and "A - red"
_BRACKETED = r"[(\[【]([a-z])[)\]】](?:\s*[.:、]\s*|\s+-\s+|\s*)|([a-z])\)\s*"
_PREFIX = re.compile(rf"{_WORD}(?:{_BRACKETED}|([a-z])(?:[.:]\s+|、\s*))(?=\S)")
_LOOSE_PREFIX = re.compile(
    rf"{_WORD}(?:{_BRACKETED}|([a-z])(?:\s*[.:、]\s*|\s+-\s+|\s+(?=[(\[【])))(?=\S)", re.I
)
_SUFFIX = re.compile(
    r"(.*\S)\s*[(\[【](?:(?:option|choice)\s)?([a-z])[)\]】][.。!]?", re.I
)  # "red (A)"


@dataclass(frozen=True, slots=True)
class TextMatch(Scorer):
    """1.0 for an answer that is the right one, else 0.0.

    When the task has options, the letter of the right one alone also counts ("B", "(B)"), unless an
    option is itself a single letter; a letter that contradicts the text after it is wrong.
    """

    goes_by_answer = True

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        right = option_index(task.answer, task.options)
        if right is not None:
            return float(option_index(answer, task.options) == right)
        return float(is_same_answer(answer, task.answer))


def option_index(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer is, from 0; None when it is none of them, or could be two.

    By the option's text: as it stands, then without marks around it, then folded as in
    `normalize_answer`; the first of these that fits one option alone decides. Else by a letter with
    the option's text behind it, or in brackets after it, or by a letter alone. Letters that all
    options carry themselves, in order ("A. red", "B. blue"), may be left out.

    >>> option_index("(B) E. coli", ["S. aureus", "E. coli"])
    1
    >>> option_index("5 mw", ["5 MW", "5 mW"]) is None
    True
    """
    found = _index_of(answer, options)
    bare = unwrapped(answer)
    return found if found is not None or bare == answer else _index_of(bare, options)


def normalize_answer(text: str) -> str:
    """The form in which two answer texts are compared.

    Unicode NFKC, case folded, white space joined, invisible characters removed, dashes made one, an
    option letter in front removed ("A. red", "(b) red", "a) red"), surrounding quotes, brackets,
    emphasis and sentence marks removed. Signs and units stay ("-5", "5%", "c++"). A text of
    punctuation alone is kept as it is.

    >>> normalize_answer(" (B)  Light Red. ")
    'light red'
    """
    return _split_letter(fold_answer(text))[1]


def is_same_answer(answer: str, truth: str) -> bool:
    """Whether an answer to an open question is the right one."""
    bare = unwrapped(answer)
    return _is_same(answer, truth) or (bare != answer and _is_same(bare, truth))


def _is_same(answer: str, truth: str) -> bool:
    if _POWER.findall(answer) != _POWER.findall(truth):
        return False
    given, right = fold_answer(answer), fold_answer(truth)
    if given == right:
        return True
    given_letter, given_text = _split_letter(given)
    right_letter, right_text = _split_letter(right)
    if letter := _ALONE.fullmatch(right):  # of options that stand in the question's text
        alone = _ALONE.fullmatch(given)
        return letter[1] == (alone[1] if alone else given_letter)
    if given_text != right_text:
        return False
    return not (given_letter and right_letter and given_letter != right_letter)


def _index_of(answer: str, options: Sequence[str]) -> int | None:
    found = _index_of_text(answer, options)
    if found is not None:
        return found
    texts = _without_labels(options)
    if texts is not options and (found := _index_of_text(answer, texts)) is not None:
        return found
    seen = _without_quotes(_seen(answer))
    is_text = any(_ALONE.fullmatch(fold_answer(option)) for option in options)
    if alone := _ALONE.fullmatch(seen.casefold()):
        return None if is_text or _letter_index(alone) >= len(options) else _letter_index(alone)
    if match := _LOOSE_PREFIX.match(seen):
        index, rest = _letter_index(match), seen[match.end() :]
    elif (match := _SUFFIX.fullmatch(seen)) and not is_text:
        index, rest = _letter_index(match), match[1]
    else:
        return None
    return index if _index_of_text(rest, texts) == index else None


def _index_of_text(answer: str, options: Sequence[str]) -> int | None:
    for form in (str.strip, _trim, fold_answer):
        given = form(answer)
        fitting = [i for i, option in enumerate(options) if form(option) == given]
        if len(fitting) == 1:
            is_power = _POWER.findall(answer) == _POWER.findall(options[fitting[0]])
            return fitting[0] if is_power else None
    return None


def _without_labels(options: Sequence[str]) -> Sequence[str]:
    """The options' texts behind their own letters, where all have them in order."""
    matches = [_LOOSE_PREFIX.match(option) for option in options]
    if all(match and _letter_index(match) == i for i, match in enumerate(matches)):
        return [o[match.end() :] for o, match in zip(options, matches, strict=True) if match]
    return options


def _letter_index(match: re.Match[str]) -> int:
    return ord(match[match.lastindex or 1].casefold()) - ord("a")


def _seen(text: str) -> str:
    """Without emphasis and what nobody sees; full-width letters and marks as plain ones."""
    plain = text.translate(_FULL_WIDTH).translate(_INVISIBLE)
    return " ".join(_EMPHASIS.sub(r"\1", plain).split())


def _without_quotes(text: str) -> str:
    """Without quotes around all of it, or around a letter that stands alone."""
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        inner = text[1:-1]
        text = text if {text[0], text[-1]} & set(inner) else inner.strip()
    return _QUOTED_LETTER.sub(lambda match: match[match.lastindex or 0], text)


def _trim(text: str) -> str:
    """Without marks, quotes and brackets around it."""
    text, before = _seen(text), None
    while before != text:
        before = text
        text = text.lstrip(" *_`").rstrip(_MARKS) or text
        if len(text) > 2 and text[0] + text[-1] in _PAIRS:
            text = text[1:-1]
    return text


def fold_answer(text: str) -> str:
    """Unicode NFKC, case folded, white space joined, dashes made one, no marks around it; an option
    letter in front stays. A text of punctuation alone is kept as it is.
    """
    folded = unicodedata.normalize("NFKC", _seen(text)).translate(_DASHES).casefold()
    folded = folded.replace(" %", "%")
    if _PREFIX.match(folded) or _ALONE.fullmatch(folded):  # their bracket surrounds a letter alone
        return folded.rstrip(_CLOSING.replace(")", "").replace("]", "")) or folded
    return folded.lstrip(_OPENING).rstrip(_CLOSING) or folded


def _split_letter(folded: str) -> tuple[str, str]:
    """The option letter in front, or "", and the text behind it."""
    match = _PREFIX.match(folded)
    if match is None:
        return "", folded
    return match[match.lastindex or 1], fold_answer(folded[match.end() :])
