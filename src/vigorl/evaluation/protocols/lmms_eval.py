"""protocol=lmms_eval: benchmarks as lmms-eval asks and reads them, with its rules alone.

Not theirs: options and questions are laid out from our records, so V*Bench's options in
parentheses, which the kit loses, are kept; a letter that MMMU draws by lot is none; RoboSpatial's
places are looked up in the polygon that its mask was painted from; MathVision's values are compared
by math-verify where the kit runs what LaTeX becomes in Python.

Source: EvolvingLMMs-Lab/lmms-eval@75571cf, lmms_eval/tasks/<task>/.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.geometry import Box, Point
from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.polygon import PointInPolygon, is_in_polygon
from vigorl.evaluation.protocols import lmms_eval_rules as rules
from vigorl.evaluation.protocols.kit import (
    Kit,
    KitJudging,
    KitPrompt,
    KitPromptOf,
    KitTask,
    Verdict,
    by_letter,
    letters_of,
    right_letter,
)
from vigorl.evaluation.protocols.lmms_eval_math import mathvision_answer, mathvision_is_right

DIRECTLY = "Answer with the option's letter from the given choices directly."
ONE_WORD = "\nAnswer the question using a single word or phrase."
_NOTE = (
    "Note: You only need to respond with {letters} without providing any additional information.\n"
)
_CAMERA = (
    "\nWhen multiple images are provided, You want to realize that when camera moves left, the "
    "objects in the image move right, and vice versa. And when you are asked about the movement of "
    "the same object captured in different images, you can compare the position of the object "
    "relative to other objects in the image to answer the question.\n"
)
_SCREEN = (
    "Identify the UI element for the instruction and output exactly one click point as [x, y] in "
    "normalized coordinates within [0, 1]. Do not output a bounding box.\nInstruction: {question}"
)
ROBO_CUTS = (
    "Your answer should be formatted as a list of tuples, i.e. [(x1, y1), ...], where each tuple "
    "contains the x and y coordinates of a point satisfying the conditions above. The coordinates "
    "should be between 0 and 1, indicating the normalized pixel locations of the points.",
    "Answer yes or no.",
)
_ROBO_PLACE = """
Your task is to identify specific points in the image based on the question. Respond with a brief explanation if needed, followed by a list of 2D point coordinates.

    The points should be in JSON format and normalized to the range [0, 1000].

    Do not include additional text after this line.
    """  # noqa: E501 - as the kit sends it
_ROBO_YES_NO = """
Your task is to answer the question above. Respond with a brief explanation if needed, followed by a yes or no answer in the last line of your response.

    Format your final answer strictly as follows on the last line of your response:
    Answer: yes or no

    Do not include additional text after this line.
    """  # noqa: E501 - as the kit sends it
MME_REQUEST = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with "
    "only the letter (A, B, C, D, or E) of the correct option.\nThe best answer is: "
)

MME_CN_REQUEST = (
    "根据图像选择上述多项选择题的最佳答案。"
    "只需回答正确选项的字母（A, B, C, D 或 E）。\n最佳答案为："
)


def _exact_letter(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    letter = rules.ai2d_letter(reply)
    return Verdict(letter, float(rules.is_exact_match(letter, right_letter(task))))


def _sat(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    word = rules.sat_word(reply, task.question)
    return Verdict(word or None, float(rules.is_exact_match(word, right_letter(task))))


def _exact(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    return Verdict(reply, float(rules.is_exact_match(reply, task.answer)))


def _pope(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    word = reply.lower().strip()
    is_right = word == task.answer.lower().strip()
    return Verdict(word if word in ("yes", "no") else None, float(is_right))


def _realworldqa(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    right = right_letter(task) or task.answer.strip()
    if right.upper() in ("A", "B", "C", "D"):
        letter = rules.mcq_answer(reply)
        return Verdict(letter or None, float(letter == right.upper()))
    text = reply.lower().strip().rstrip(".")
    return Verdict(text, float(text == right.lower()))


def _mmmu(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    if task.options:
        letter = rules.mmmu_letter(reply, letters_of(task))
        return Verdict(letter or None, float(letter == right_letter(task)))
    return Verdict(reply, 0.0)  # at this commit every open answer is compared letter by letter


def _robospatial(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    text = rules.without_thoughts(reply)
    if not isinstance(task.scorer, PointInPolygon):
        said = rules.binary_answer(text)
        word = None if said is None else "yes" if said else "no"
        return Verdict(word, float(word == task.answer.strip().lower()))
    if view is None:
        raise ValueError(f"task {task.id}: a place is judged on its picture")
    width, height = view.original.width, view.original.height
    places = rules.json_points(text, width=width, height=height)
    by = (width, height) if task.scorer.is_unit else (1, 1)
    corners = [Point(one.x * by[0], one.y * by[1]) for one in task.scorer.corners]
    hits = any(is_in_polygon(Point(*one), corners) for one in places)
    return Verdict(str(places) if places else None, float(hits))


def _screenspot_v2(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    """The rows of its own table have no size, so every answer in pixels is wrong."""
    return _screen(reply, task, view, has_size=False)


def _screenspot_pro(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    return _screen(reply, task, view, has_size=True)


def _screen(reply: str, task: TaskRecord, view: ImageView | None, *, has_size: bool) -> Verdict:
    box, width, height = shares_of(task, view)
    point = rules.screen_point(reply)
    if point is None:
        return Verdict(None, 0.0)
    if has_size and (point.x > 1 or point.y > 1):
        point = Point(point.x / width, point.y / height)
    return Verdict(f"({point.x}, {point.y})", float(box.contains(point)))


def shares_of(task: TaskRecord, view: ImageView | None) -> tuple[Box, int, int]:
    """A target as shares of its picture, and the picture's ORIGINAL width and height."""
    if not isinstance(task.scorer, PointInBox) or task.scorer.box is None or view is None:
        raise ValueError(f"task {task.id}: a place needs a box and a picture")
    width, height = view.original.width, view.original.height
    box = task.scorer.box
    return (
        Box(box.left / width, box.top / height, box.right / width, box.bottom / height),
        width,
        height,
    )


def _mathvision(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
    given = mathvision_answer(reply)
    letter = right_letter(task)
    rights = (letter, task.answer) if letter else (task.answer, "")
    return Verdict(given or None, float(any(mathvision_is_right(given, one) for one in rights)))


def _choices(request: str, *, ending: str = "") -> KitPrompt:
    options = "\n{options}" + request
    return KitPrompt("", options=options, option="{letter}. {text}", ending=ending)


_DIRECT = _choices(f"\n{DIRECTLY}")
_FIRST_LETTER = by_letter(lambda reply, task: rules.first_letter(reply))
KIT = Kit(
    "lmms_eval",
    tasks={
        "vstar": KitTask(by_letter(lambda reply, task: rules.vstar_letter(reply)), _DIRECT, 16),
        "blink": KitTask(
            _FIRST_LETTER,
            KitPrompt(
                "",
                options="\nSelect from the following choices.\n{options}",
                opening=_NOTE,
            ),
            1024,
        ),
        "cv_bench": KitTask(
            _FIRST_LETTER,
            KitPrompt(
                "",
                options=" Select from the following choices.\n{options}",
                opening=f"{_NOTE}\n",
            ),
            1024,
        ),
        "sat": KitTask(
            _sat,
            KitPrompt(
                "",
                question=f"{{question}}{_CAMERA}",
                options="\n{options}\n\nOnly output the letter of the correct option and nothing "
                "else.",
                option="{letter}. {text}",
            ),
            16,
        ),
        "realworldqa": KitTask(
            _realworldqa,
            _choices(
                "\nPlease answer directly with only the letter of the correct option and nothing "
                "else.",
                ending="\nPlease answer directly with a single word or number.",
            ),
            16,
        ),
        "mme_realworld": KitTask(
            by_letter(lambda reply, task: rules.characters_regex(reply)),
            KitPrompt(
                "",
                options=f" The choices are listed below:\n{{options}}\n{MME_REQUEST}",
                option="({letter}) {text}",
            ),
            16,
        ),
        "mme_realworld_cn": KitTask(
            by_letter(lambda reply, task: rules.characters_regex(reply)),
            KitPrompt("", options=f" 选项如下所示:\n{{options}}\n{MME_CN_REQUEST} "),
            16,
        ),
        "pope": KitTask(_pope, KitPrompt("", ending=ONE_WORD), 128),
        "gqa": KitTask(_exact, KitPrompt("", ending=ONE_WORD), 16),
        "ai2d": KitTask(_exact_letter, _DIRECT, 16),
        "hrbench": KitTask(
            by_letter(lambda reply, task: rules.hrbench_letter(reply, letters_of(task))),
            _choices("\nAnswer the option letter directly."),
            1024,
        ),
        "mmvp": KitTask(by_letter(lambda reply, task: rules.mmvp_letter(reply)), _DIRECT, 16),
        "robospatial": KitTask(
            _robospatial,
            KitPrompt("", ending=_ROBO_YES_NO, place_ending=_ROBO_PLACE, cuts=ROBO_CUTS),
            512,
        ),
        "screenspot_v2": KitTask(_screenspot_v2, KitPrompt("", question=_SCREEN), 128),
        "screenspot_pro": KitTask(_screenspot_pro, KitPrompt("", question=_SCREEN), 128),
        "mmmu": KitTask(
            _mmmu,
            _choices(f"\n\n{DIRECTLY}", ending="\n\n" + ONE_WORD.strip()),
            128,
        ),
        "mathvision": KitTask(
            _mathvision,
            KitPrompt(
                "",
                options="\nChoices: {options}\nAnswer the question with the option's letter from "
                "the given choices directly.",
                option="{letter}. {text}",
                opening='Please solve the problem step by step and put your answer in one "\\boxed'
                '{{}}".',
            ),
            16384,
        ),
    },
    refused={
        "reasonmap": "it has no such task",
        "mathvista": "GPT-4o takes out every answer",
        "mathverse": "GPT-4o judges every answer",
        "wemath": "it has only a variant with thoughts, judged by a model",
        "treebench": "it has no such task",
    },
)


@dataclass(frozen=True)
class LmmsEval(KitJudging):
    """Reads replies as lmms-eval does."""

    kit = KIT


@dataclass(frozen=True)
class LmmsEvalPrompt(KitPromptOf):
    """Asks as lmms-eval does."""

    kit = KIT
