"""The rewards of the released code, number for number, kept for reproduction only.

They differ from this house's rewards in ways that matter: no bounds check and no tool name check;
a tool call whose body is not {...} is never seen; the bonus for distinct places has no cap and is
paid on wrong answers, so a wrong answer with four crops (0.64) beats a right one whose format fails
(0.60). The text judged is the WHOLE response, observations included, as the released code decodes
it. Our own observations stand in for theirs (structure is the same), and coordinates of a box are
mapped to the picture file's pixels instead of taken as they are.

Source: Gabesarch/grounded-rl@e7970c0, src/trainer/rl/examples/reward_function/.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from vigorl.core.geometry import Point
from vigorl.core.rewards.zoom import count_distinct
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.action import ActionMatch, score_action
from vigorl.core.scoring.text import TextMatch
from vigorl.core.trace import ANSWER, END_ANSWER, END_TOOL_CALL, THINK, TOOL_CALL

BONUS = 0.2
MIN_DISTANCE_PX = 10.0

_TAG = re.compile(r"</?(?:think|tool_call|observation|answer)>")
_TAG_ORDER = re.compile(
    r"<think></think>"
    r"(?:<tool_call></tool_call><observation></observation><think></think>)*"
    r"<answer></answer>"
)
_CALL = re.compile(rf"{TOOL_CALL}\s*(\{{.*?\}})\s*{END_TOOL_CALL}", re.DOTALL)
_ANSWER = re.compile(rf"{ANSWER}(.*?){END_ANSWER}", re.DOTALL)
_SINGLE_TURN = re.compile(r"<think>(.*?)</think>\s*<answer>(.*?)</answer>", re.DOTALL)
_POINT = re.compile(r"\((\d+)\s*,\s*(\d+)\)")
_POINT_ANSWER = re.compile(r"\(?\s*-?\d+\s*,\s*-?\d+\s*\)?")
_OPTION_PREFIX = re.compile(r"^[A-Za-z][.)]\s*")


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
    """The released judge of the final answer.

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
        match, task = _ANSWER.search(response_text(rollout)), rollout.task
        if match is None:
            return 0.0
        answer = match[1].strip()
        if isinstance(task.scorer, ActionMatch):
            return score_action(answer, task.answer)
        if not isinstance(task.scorer, TextMatch):
            return task.score(answer, view=rollout.prompt_views[0])
        if self.multi_turn:
            return float(answer.lower() == task.answer.strip().lower())
        return float(_OPTION_PREFIX.sub("", answer).lower() == task.answer.strip())


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
        text, is_place = response_text(rollout), rollout.task.scorer.is_place
        return self._walk(text, is_place) if self.multi_turn else self._match(text, is_place)

    def _walk(self, text: str, is_place: bool) -> float:
        points = _tool_points(text)
        follows_order = _TAG_ORDER.fullmatch("".join(_TAG.findall(text))) is not None
        if not follows_order or not text.endswith(END_ANSWER) or points is None:
            return 0.0
        answer = _ANSWER.search(text)
        if answer is None or not _has_form(answer[1], is_place):
            return 0.0
        distinct = count_distinct(points, min_distance_px=MIN_DISTANCE_PX)
        return 1.0 + BONUS * max(distinct - 1, 0)

    def _match(self, text: str, is_place: bool) -> float:
        match = _SINGLE_TURN.fullmatch(text)
        if match is None or not _has_form(match[2], is_place):
            return 0.0
        thought = text[len(THINK) : match.end(1)]
        return float(not self.require_points or _POINT.search(thought) is not None)


def _has_form(answer: str, is_place: bool) -> bool:
    if is_place:
        return _POINT_ANSWER.fullmatch(answer.strip()) is not None
    return bool(answer.strip())


def _tool_points(text: str) -> list[Point] | None:
    """The point of every call whose body looks like {...}; None when one of them is malformed."""
    points = []
    for body in _CALL.findall(text):
        try:
            coordinate = json.loads(body)["arguments"]["coordinate"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not _is_int_pair(coordinate):
            return None
        points.append(Point(*coordinate))
    return points


def _is_int_pair(value: object) -> bool:
    # The bound is ours: a distance between integers of hundreds of digits overflows.
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(number, int) and abs(number) < 10**9 for number in value)
    )
