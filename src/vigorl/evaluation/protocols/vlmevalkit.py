"""protocol=vlmevalkit: benchmarks as VLMEvalKit asks and reads them, by exact matching.

Without a judge the kit takes what it cannot read for "Z", which is wrong; so does this. With one it
asks, and after three failures draws a letter by lot. Not theirs: MathVision and MathVista, which
the kit does not score without a judge, are read by the rule that it tries before; nothing is run
as Python but arithmetic.

Source: open-compass/VLMEvalKit@e8e78f0, vlmeval/dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.geometry import Point
from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.polygon import PointInPolygon
from vigorl.evaluation.protocols import vlmevalkit_rules as rules
from vigorl.evaluation.protocols.kit import (
    Kit,
    KitJudging,
    KitPrompt,
    KitPromptOf,
    KitTask,
    Verdict,
    by_letter,
    letters_of,
)
from vigorl.evaluation.protocols.lmms_eval import MME_CN_REQUEST, shares_of
from vigorl.evaluation.protocols.lmms_eval_rules import characters_regex

MAX_NEW_TOKENS = 2048  # of its entry for Qwen2.5-VL
_QUESTION, _OPTIONS = "Question: {question}\n", "Options:\n{options}\n"
_CLICK_SYSTEM = (
    "You are a GUI agent. You are given a task and a screenshot of the screen. You need to perform "
    "pyautogui click/moveTo action to complete the task. The answer format is "
    "`pyautogui.click(x=?, y=?), x and y is necessary`"
)
_CLICK = "Please complete the following tasks by clicking using `pyautogui.click`:\n{question}"
_PLACE = (
    "\n\nOutput the point coordinates in JSON format.\nFor example:\n[\n"
    '  {"point_2d": [x, y], "label": "point_1"}\n]\n'
)
_MME = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with "
    "only the letter (A, B, C, D, or E) of the correct option. \nThe best answer is:"
)


def _inferred(reply: str, task: TaskRecord) -> str:
    return rules.infer(reply, letters_of(task))


def _mcq(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    """An open question of MMMU is put as A, the right answer, against B, "Other Answers"."""
    if task.options:
        return by_letter(_inferred)(reply, task, view)
    letter = rules.infer(reply, {"A": task.answer, "B": "Other Answers"})
    return Verdict(letter or None, float(letter == "A"))


def _tagged(reply: str, task: TaskRecord) -> str:
    return characters_regex(rules.answer_tag(reply))


def _pope(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    said = rules.yes_or_no(reply)
    word = None if said is None else "yes" if said else "no"
    return Verdict(word, float(word == task.answer.strip().lower()))


def _gqa(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    text = reply.strip()
    return Verdict(text, float(text.lower() == task.answer.strip().lower()))


def _robospatial(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    if not isinstance(task.scorer, PointInPolygon):
        text, right = reply.strip().lower(), task.answer.strip().lower()
        is_right = text.startswith("yes" if right == "yes" else "no")
        return Verdict(text or None, float(is_right))
    if view is None:
        raise ValueError(f"task {task.id}: a place is judged on its picture")
    width, height = view.original.width, view.original.height
    point = rules.first_point(reply.strip(), width=width, height=height)
    if point is None:
        return Verdict(None, 0.0)
    by = (1, 1) if task.scorer.is_unit else (width, height)
    corners = [Point(one.x / by[0], one.y / by[1]) for one in task.scorer.corners]
    return Verdict(f"({point.x}, {point.y})", float(rules.is_in_polygon(point, corners)))


def _screenspot_v2(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    """Its boxes end one pixel early: x + w - 1."""
    return _screen(reply, task, view, short_px=1)


def _screenspot_pro(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    return _screen(reply, task, view, short_px=0)


def _screen(reply: str, task: TaskRecord, view: ImageView | None, *, short_px: int) -> Verdict:
    box, width, height = shares_of(task, view)
    found = rules.click_point(reply)
    point = found or Point(0.0, 0.0)  # what it cannot read is the upper left corner
    if point.x > 1 or point.y > 1:
        point = Point(point.x / width, point.y / height)
    right, bottom = box.right - short_px / width, box.bottom - short_px / height
    is_right = box.left <= point.x <= right and box.top <= point.y <= bottom
    return Verdict(found and f"({found.x}, {found.y})", float(is_right))


def _mathvision(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    if task.options:
        return by_letter(_inferred)(reply, task, view)
    given, right = reply.lower().strip(), task.answer.lower().strip()
    is_right = given == right or rules.is_same_value(given, right)
    return Verdict(given or None, float(is_right))


def _mathvista(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    """Whole replies that are a number of the kind asked for; any other open one needs a judge."""
    if task.options:
        return by_letter(_inferred)(reply, task, view)
    for kind in (int, float):
        try:
            right = kind(task.answer)
        except ValueError:
            continue
        try:
            return Verdict(reply, float(kind(reply) == right))
        except (ValueError, OverflowError):
            break
    return Verdict(None, 0.0)


def _choices(request: str) -> KitPrompt:
    return KitPrompt("", _QUESTION, _OPTIONS + request, option="{letter}. {text}")


_SELECT = _choices("Please select the correct answer from the options above. \n")
_MCQ = KitTask(_mcq, _SELECT, MAX_NEW_TOKENS)
KIT = Kit(
    "vlmevalkit",
    tasks={
        **dict.fromkeys(("vstar", "blink", "realworldqa", "ai2d", "mmmu", "hrbench", "mmvp"), _MCQ),
        "cv_bench": KitTask(
            _mcq,
            KitPrompt("", options=" Select from the following choices.\n{options}"),
            MAX_NEW_TOKENS,
        ),
        "mme_realworld": KitTask(
            by_letter(_tagged),
            KitPrompt(
                "",
                options=f" The choices are listed below:\n{{options}}\n{_MME}",
            ),
            MAX_NEW_TOKENS,
        ),
        "mme_realworld_cn": KitTask(
            by_letter(_tagged),
            KitPrompt("", options=f" 选项如下所示:\n{{options}}\n{MME_CN_REQUEST}"),
            MAX_NEW_TOKENS,
        ),
        "treebench": KitTask(
            by_letter(_tagged),
            _choices("Answer with the correct option's letter directly. \n"),
            MAX_NEW_TOKENS,
        ),
        "wemath": KitTask(
            by_letter(lambda reply, task: rules.wemath_letter(reply)), _choices(""), MAX_NEW_TOKENS
        ),
        "pope": KitTask(_pope, KitPrompt(""), MAX_NEW_TOKENS),
        "gqa": KitTask(
            _gqa,
            KitPrompt("", ending="\nAnswer the question using a single word or phrase."),
            MAX_NEW_TOKENS,
        ),
        "robospatial": KitTask(
            _robospatial,
            KitPrompt("", place_ending=_PLACE, place_until="Your answer should"),
            MAX_NEW_TOKENS,
        ),
        "screenspot_v2": KitTask(_screenspot_v2, KitPrompt(_CLICK_SYSTEM, _CLICK), MAX_NEW_TOKENS),
        "screenspot_pro": KitTask(
            _screenspot_pro, KitPrompt(_CLICK_SYSTEM, _CLICK), MAX_NEW_TOKENS
        ),
        "mathvision": KitTask(_mathvision, _SELECT, MAX_NEW_TOKENS),
        "mathvista": KitTask(_mathvista, _SELECT, MAX_NEW_TOKENS),
    },
    refused={
        "reasonmap": "its rule for ReasonMap-Plus is not repeated here",
        "mathverse": "GPT-4 takes out and judges every answer",
        "sat": "it has no such task",
        "sat2": "it has no such task",
    },
)


@dataclass(frozen=True)
class VlmEvalKit(KitJudging):
    """Reads replies as VLMEvalKit does by exact matching."""

    kit = KIT


@dataclass(frozen=True)
class VlmEvalKitPrompt(KitPromptOf):
    """Asks as VLMEvalKit does."""

    kit = KIT
