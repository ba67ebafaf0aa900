"""The rewards of the released code, number for number, kept for reproduction only.

They differ from this house's rewards in ways that matter: no bounds check and no tool name check;
a tool call whose body is not {...} is never seen; the bonus for distinct places has no cap and is
paid on wrong answers, so a wrong answer with four crops (0.64) beats a right one whose format fails
(0.60). The first `<answer>` counts, wherever it stands, and where an answer is not found the whole
response is judged as one: "stop" in a thought can be right. The text judged is the WHOLE response,
observations included, as the released code decodes it.

Not theirs: our own observations stand in for theirs (structure is the same); a point is mapped to
the picture file's pixels before its box is asked; several turns with web actions, which have no
released reward, take the accuracy of one turn and the format of texts; what would end a run of
the released code (brackets nested a thousand deep, two tool points of hundreds of digits) does not
end ours.

Source: Gabesarch/grounded-rl@e7970c0, src/trainer/rl/examples/reward_function/.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from vigorl.core.geometry import Point
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.action import ActionMatch
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch

BONUS = 0.2
MIN_DISTANCE_PX = 10
LARGEST_COORDINATE = 10**9  # ours: beyond it lies no picture, and soon no float either

_TAG = re.compile(r"</?(?:think|tool_call|observation|answer)>", re.IGNORECASE)
_TAG_ORDER = re.compile(
    r"<think></think>"
    r"(?:<tool_call></tool_call><observation></observation><think></think>)*"
    r"<answer></answer>"
)
_CALL = re.compile(r"<tool_call>\s*({.*?})\s*</tool_call>", re.DOTALL)
_END = re.compile(r"</answer>\s*(<\|im_end\|>)?\s*$")
_ANSWER_ON_A_LINE = re.compile(r"<answer>(.*?)</answer>")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_ANSWER_OF_TURNS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_POINT_OF_TURNS = re.compile(r"<answer>\s*\(([^)]*)\)\s*</answer>")
_SINGLE_TURN = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_POINT = re.compile(r"\(\d+\s*,\s*\d+\)")
_OPTION_PREFIX = re.compile(r"[A-Za-z][.)]\s*(.*)")
_ELEMENT = re.compile(r"\[(\d+)\]")
_TYPED = re.compile(r"\[(.*?)\]")


def response_text(rollout: Rollout) -> str:
    """The response as the released code decodes it: all turns and observations, no special token.

    Dropping `<|im_start|>` and the like leaves the role names of the chat template.
    """
    parts = []
    for turn in rollout.turns:
        parts.append(turn.text)
        if turn.observation:
            parts.append(f"\nuser\n{turn.observation}\nassistant\n")
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class ReleasedAccuracyReward:
    """The released judges of the final answer: of texts, points and web actions. Answers to other
    questions, which the released code does not know, are judged by the task's scorer.

    Attributes:
        multi_turn: True compares both texts in lower case (string_match_multiturn.py). False strips
            an option letter from the prediction and lowers ONLY the prediction
            (string_match_grounded_thinking.py), so a truth with a capital can never be right.
    """

    multi_turn: bool

    @property
    def name(self) -> str:
        return "accuracy"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        text, task = response_text(rollout), rollout.task
        if isinstance(task.scorer, PointInBox):
            return float(hits_box(_answer(text, _ANSWER_ON_A_LINE), task.scorer, rollout))
        if isinstance(task.scorer, ActionMatch):
            return _action_accuracy(_answer(text, _ANSWER_ON_A_LINE), task.answer.strip())
        if not isinstance(task.scorer, TextMatch):
            found = _ANSWER.search(text)
            answer = found[1].strip() if found else None
            return task.score(answer, view=rollout.prompt_views[0])
        if self.multi_turn:
            given = _answer(text, _ANSWER_OF_TURNS)
            return float(given.lower() == task.answer.strip().lower())
        given = _answer(text, _ANSWER_ON_A_LINE)
        option = _OPTION_PREFIX.match(given)
        return float((option[1].strip() if option else given).lower() == task.answer.strip())


@dataclass(frozen=True, slots=True)
class ReleasedFormatReward:
    """The released format reward: 0.0, or 1.0 plus the bonus for distinct places.

    Attributes:
        multi_turn: True walks the tags of the whole response and adds 0.2 * (k - 1) for k distinct
            tool points (RESIZED frame, as written), without a cap. False is one think and one
            answer block.
        require_points: Single turn only: the thought holds at least one "(x, y)" anywhere. False is
            the vanilla baseline.
    """

    multi_turn: bool
    require_points: bool = True

    @property
    def name(self) -> str:
        return "format"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, math.inf if self.multi_turn else 1.0)

    def __call__(self, rollout: Rollout) -> float:
        text, scorer = response_text(rollout), rollout.task.scorer
        return self._walk(text.strip(), scorer) if self.multi_turn else self._match(text, scorer)

    def _walk(self, text: str, scorer: Scorer) -> float:
        tags = "".join(_TAG.findall(text)).lower()
        if not _END.search(text) or not _TAG_ORDER.fullmatch(tags):
            return 0.0
        points = _tool_points(text)
        if points is None:
            return 0.0
        if scorer.is_place:
            answer = _POINT_OF_TURNS.search(text)
            has_form = answer and _is_int_pair(_literal(f"({answer[1].strip()})"))
        else:
            answer = _ANSWER.search(text)
            has_form = answer and answer[1].strip()
        return 1.0 + BONUS * max(_num_distinct(points) - 1, 0) if has_form else 0.0

    def _match(self, text: str, scorer: Scorer) -> float:
        answer = _ANSWER.search(text)
        if not _SINGLE_TURN.fullmatch(text) or answer is None:
            return 0.0
        given = answer[1].strip()
        if scorer.is_place:
            is_bracketed = given.startswith("(") and given.endswith(")")
            has_form = is_bracketed and _is_int_pair(_literal(given))
        else:
            has_form = given or isinstance(scorer, ActionMatch)  # an empty action will do
        thought = _THOUGHT.search(text)
        is_grounded = thought is not None and _POINT.search(thought[1]) is not None
        return float(bool(has_form) and (is_grounded or not self.require_points))


def _answer(text: str, tags: re.Pattern[str]) -> str:
    """Between the first pair of tags; the whole text where there is none."""
    found = tags.search(text)
    return (found[1] if found else text).strip()


def hits_box(answer: str, scorer: PointInBox, rollout: Rollout) -> bool:
    """Whether an answer is two integers, in any brackets, in a box of integers; edges count."""
    found, box = _literal(answer), scorer.box
    if box is None:
        raise ValueError(f"task {rollout.task.id}: a point needs a box to hit, PointInBox(box=...)")
    point = tuple(found) if isinstance(found, Iterable) else None
    is_whole = all(float(edge).is_integer() for edge in box.as_tuple())
    if not is_whole or not _is_int_pair(point) or max(map(abs, point)) > LARGEST_COORDINATE:
        return False
    return box.contains(rollout.prompt_views[0].to_original(Point(*point)))


def _action_accuracy(answer: str, truth: str) -> float:
    """The first verb that an answer holds anywhere, and its first brackets, against the truth's."""
    for alone in ("go_back", "stop"):
        if alone in answer:
            return float(alone in truth)
    if "scroll" in answer:
        return float(any(way in answer and way in truth for way in ("[down]", "[up]")))
    for verb, brackets in (("click", _ELEMENT), ("type", _TYPED)):
        if verb in answer:
            given, right = brackets.search(answer), brackets.search(truth)
            if given is None or right is None:
                return 0.0
            return 0.5 * (verb in truth) + 0.5 * (given[1].strip() == right[1].strip())
    return 0.0


def _literal(text: str) -> object:
    """What a text is as a Python literal; None when it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange escapes: the answer is a policy's
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def _tool_points(text: str) -> list[tuple[int, int]] | None:
    """The point of every call whose body looks like {...}; None when one of them is malformed."""
    points = []
    for body in _CALL.findall(text):
        try:
            coordinate = json.loads(body)["arguments"]["coordinate"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not isinstance(coordinate, list) or not _is_int_pair(tuple(coordinate)):
            return None
        points.append(tuple(coordinate))
    return points


def _is_int_pair(value: object) -> TypeGuard[tuple[int, int]]:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(number, int) for number in value)
    )


def _num_distinct(points: list[tuple[int, int]]) -> int:
    """Those at least 10 px from every earlier counted one; whole numbers cannot overflow."""
    counted: list[tuple[int, int]] = []
    for x, y in points:
        if all((x - a) ** 2 + (y - b) ** 2 >= MIN_DISTANCE_PX**2 for a, b in counted):
            counted.append((x, y))
    return len(counted)
