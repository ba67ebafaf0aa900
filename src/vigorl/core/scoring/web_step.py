"""Right is a step on a web page: the kind of action AND the element AND what is typed there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.action import WebAction, parse_action
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_ENTER = re.compile(r"\] ?\[[01]$")  # "type [7] [shoes] [1]": whether the enter key follows
_ON_ELEMENTS = ("click", "type", "hover")
_ALONE = ("go_back", "stop")  # a stop's words are judged by what the whole task asks for


@dataclass(frozen=True, slots=True)
class WebStep(Scorer):
    """1.0 for a step that is right in every part, else 0.0; see `step_parts`."""

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        return float(all(step_parts(answer, task.answer).values()))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return parse_action(answer) is not None

    def for_answer(self, answer: str) -> WebStep:
        if parse_action(answer) is None:
            raise ValueError(f'must be an action such as "click [12]", got {answer!r:.60}')
        return self


def step_parts(answer: str | None, truth: str) -> dict[str, float]:
    """Which parts of a step are right, each 1.0 or 0.0; those that the right action has.

    "step_kind" is the verb; "step_element" the element of "click", "type" and "hover";
    "step_typed" the text of "type", white space and case folded; "step_argument" what any other
    verb is given ("scroll [down]"). Elements and texts of another kind of action are wrong.

    >>> step_parts("click [12]", "type [12] [red shoes]")
    {'step_kind': 0.0, 'step_element': 0.0, 'step_typed': 0.0}
    """
    given, right = None if answer is None else parse_action(answer), parse_action(truth)
    if right is None:
        raise ValueError(f"no web action: {truth!r:.80}")
    wanted = _parts(right)
    found = _parts(given) if given is not None and given.verb == right.verb else {}
    return {name: float(found.get(name) == value) for name, value in wanted.items()}


def _parts(action: WebAction) -> dict[str, object]:
    parts: dict[str, object] = {"step_kind": action.verb}
    if action.verb in _ON_ELEMENTS:
        parts["step_element"] = action.arguments[:1]
        if action.verb == "type":
            parts["step_typed"] = [_ENTER.sub("", one) for one in action.arguments[1:]]
    elif action.verb not in _ALONE:
        parts["step_argument"] = action.arguments
    return parts
