"""Whether an answer is right: an option's text, a point inside a box, or a web action.

Equality after normalising, never substring matching: "not red" is not "red". The released judge
accepts a right answer inside a longer prediction (vlmsearch/reward_funcs/judge.py); this one does
not, because a policy soon learns to name every option.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from vigorl.core.media import ImageView
from vigorl.core.records import AnswerKind, TaskRecord
from vigorl.core.trace import parse_point

_OPENING = " \t\n\"'`*_([{,:;“”‘’«"
_CLOSING = " \t\n\"'`*_)]}.,:;!?“”‘’»"
_LETTER_ALONE = re.compile(r"\(?([a-z])\)?[.:]?")
_LETTER_PREFIX = re.compile(r"(?:\(([a-z])\)\s*|([a-z])\)\s*|([a-z])[.:]\s+)(?=\S)")
_ACTION = re.compile(r"([a-z_]+) ?(?:\[(.*)\])?")


@dataclass(frozen=True, slots=True)
class WebAction:
    """One web action: "type [7] [red shoes]" is verb "type", arguments ("7", "red shoes")."""

    verb: str
    arguments: tuple[str, ...]


def normalize_answer(text: str) -> str:
    """The form in which two answer texts are compared.

    Unicode NFKC, case folded, white space joined, an option letter in front removed ("A. red",
    "(b) red", "a) red"), surrounding quotes, brackets, emphasis and sentence marks removed. Signs
    and units stay ("-5", "5%", "c++"). A text of punctuation alone is kept as it is.

    >>> normalize_answer(" (B)  Light Red. ")
    'light red'
    """
    return _split_letter(_fold(text))[1]


def is_correct(answer: str | None, task: TaskRecord, *, view: ImageView | None = None) -> bool:
    """Whether the answer is wholly right; see `score_answer`."""
    return score_answer(answer, task, view=view) == 1.0


def score_answer(
    answer: str | None,
    task: TaskRecord,
    *,
    view: ImageView | None = None,
    compare_typed_text: bool = False,
) -> float:
    """How right an answer is, in [0, 1]; only a web action can be half right.

    TEXT: equal to the right option after normalising. When the task has options, the letter of the
    right one alone also counts ("B", "(B)"), unless an option is itself a single letter; a letter
    that contradicts the text after it is wrong. POINT: exactly "(x, y)" in the text frame of
    `view`, inside `task.answer_box` (edges count). ACTION: see `score_action`.

    Args:
        answer: The answer's text; None when there is none.
        task: The question.
        view: The picture that a POINT answer refers to: the first one of the prompt, whole.
        compare_typed_text: Whether a "type" action must also type the right text.
    Raises:
        ValueError: A POINT task without `answer_box`, or without a whole `view`.
    """
    if answer is None:
        return 0.0
    if task.answer_kind is AnswerKind.POINT:
        return float(_hits_box(answer, task, view))
    if task.answer_kind is AnswerKind.ACTION:
        return score_action(answer, task.answer, compare_typed_text=compare_typed_text)
    return float(_equals_option(answer, task))


def score_action(answer: str, truth: str, *, compare_typed_text: bool = False) -> float:
    """How right a web action is.

    "go_back" and "stop": the verb alone. "scroll": verb and direction. "click" and "type": 0.5 for
    the verb and 0.5 for the element id behind it. The released reward never compares what is typed.

    Args:
        answer: Such as "click [12]".
        truth: The right action in the same form.
        compare_typed_text: Whether the second half of "type" also needs the normalised text.
    Source: Gabesarch/grounded-rl@e7970c0, reward_function/web_action.py.
    """
    given, right = parse_action(answer), parse_action(truth)
    if given is None or right is None or given.verb != right.verb:
        return 0.0
    if right.verb in ("click", "type"):
        is_same = given.arguments[:1] == right.arguments[:1]
        if right.verb == "type" and compare_typed_text:
            is_same = is_same and _typed(given) == _typed(right)
        return 1.0 if is_same else 0.5
    if right.verb == "scroll":
        return float(given.arguments[:1] == right.arguments[:1])
    return 1.0


def parse_action(text: str) -> WebAction | None:
    """Read one web action; None when the text is anything else. Verb and arguments are folded.

    Only the last argument may hold brackets, as typed text can: "type [7] [a [b]]".
    """
    match = _ACTION.fullmatch(" ".join(text.split()).casefold())
    if match is None:
        return None
    arguments = () if match[2] is None else re.split(r"\] ?\[", match[2], maxsplit=1)
    return WebAction(match[1], tuple(argument.strip() for argument in arguments))


def _typed(action: WebAction) -> tuple[str, ...]:
    return tuple(normalize_answer(argument) for argument in action.arguments[1:])


def _hits_box(answer: str, task: TaskRecord, view: ImageView | None) -> bool:
    if task.answer_box is None:
        raise ValueError(f"task {task.id}: a POINT answer needs `answer_box`")
    if view is None or view.box is not None:
        raise ValueError(f"task {task.id}: a POINT answer needs the whole picture's view")
    point = parse_point(answer)
    if point is None or not view.holds(point):
        return False
    return task.answer_box.contains(view.to_original(point))


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
