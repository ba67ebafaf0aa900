"""Right is a web action such as "click [12]"; the right verb on another element is half right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import normalize_answer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_ACTION = re.compile(r"([a-z_]+) ?(?:\[(.*)\])?")


@dataclass(frozen=True, slots=True)
class ActionMatch(Scorer):
    """How right a web action is: 0.0, 0.5 or 1.0; see `score_action`.

    Attributes:
        compare_typed_text: Whether a "type" action must also type the right text.
    """

    compare_typed_text: bool = False

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        return score_action(answer, task.answer, compare_typed_text=self.compare_typed_text)


@dataclass(frozen=True, slots=True)
class WebAction:
    """One web action: "type [7] [red shoes]" is verb "type", arguments ("7", "red shoes")."""

    verb: str
    arguments: tuple[str, ...]


def score_action(answer: str, truth: str, *, compare_typed_text: bool = False) -> float:
    """How right a web action is.

    "go_back" and "stop": the verb alone. "click", "type" and "hover": 0.5 for the verb and 0.5 for
    the element id behind it. Any other, such as "scroll" or "press": all of it. The released reward
    never compares what is typed.

    Args:
        answer: Such as "click [12]".
        truth: The right action in the same form.
        compare_typed_text: Whether the second half of "type" also needs the normalised text.
    Source: Gabesarch/grounded-rl@e7970c0, reward_function/web_action.py.
    """
    given, right = parse_action(answer), parse_action(truth)
    if given is None or right is None or given.verb != right.verb:
        return 0.0
    if right.verb in ("go_back", "stop"):
        return 1.0
    if right.verb in ("click", "type", "hover"):
        is_same = given.arguments[:1] == right.arguments[:1]
        if right.verb == "type" and compare_typed_text:
            is_same = is_same and _typed(given) == _typed(right)
        return 1.0 if is_same else 0.5
    return float(given.arguments == right.arguments)


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
