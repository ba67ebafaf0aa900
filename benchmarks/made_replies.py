"""Replies to questions of benchmarks, each of a kind and known to be right or wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.geometry import Box, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import (
    MathMatch,
    OneOf,
    PointInBox,
    PointInPolygon,
    Scorer,
    TextMatch,
    YesNo,
)

VIEW = ImageView(FileImage("made.png"), Size(640, 480), Size(640, 480))
POLYGON = "[(0.25, 0.2), (0.75, 0.25), (0.8, 0.75), (0.2, 0.8)]"  # no edge is upright
BOX = Box(100, 120, 200, 160)
WORDS = (
    "red", "blue", "green", "dog", "cat", "left", "right", "tower", "cup", "bicycle",
    "near the door",
    "a dog", "7", "42", "nothing", "yes", "3 m", "(left)", "Dr. No",
)  # fmt: skip
REFUSALS = (
    "", "I cannot tell.", "I do not know", "Sorry, I can't help with images of people yet.",
    "Cannot determine the answer", "unclear", "As an AI model, I do not see it.", "无法判断",
)  # fmt: skip
# {l}: the letter named, {t}: its text, {o} and {v}: another letter and text
CHOICES = {
    "B": "{l}", "(B)": "({l})", "B.": "{l}.", "b": "{low}", "B. text": "{l}. {t}", "text": "{t}",
    "text.": "{t}.", "**B**": "**{l}**", "B and a new line": "{l}\nIt is there.",
    r"\boxed{B}": r"\boxed{{{l}}}", "<answer>B</answer>": "<answer>{l}</answer>",
    "<think> and <answer>": "<think>A dog. B?</think> <answer>{l}</answer>",
    "Answer: B": "Answer: {l}", "The answer is B.": "The answer is {l}.", "Option B": "Option {l}",
    "The correct answer is **B**.": "The correct answer is **{l}**.",
    "B is correct because ...": "{l} is correct because the object is there.",
    "A closer look ..., B": "A closer look shows more, so the answer is {l}",
    "Based on ..., B.": "Based on the image, the correct option is {l}.",
    "Both ...: B": "Both are there. Careful: {l}", "It is text.": "It is {t}.",
    "The answer is text": "The answer is {t}", "答案是B": "答案是{l}", "full-width B": "{wide}",
    "B in the middle": "I choose {l} since the thing stands there, on the far side of it",
}  # fmt: skip
NO_CHOICES = {
    "two letters": "{l} or {o}", "two texts": "{t} or {v}", "not B": "not {l}",
    "not text": "not {t}", "letter of another text": "{l}. {v}", "a letter that is none": "Z",
    "all letters": "A, B, C and D", "a word": "Deer", "Because": "Because of that",
    "two boxes": r"\boxed{{{l}}} \boxed{{{o}}}", "B? No": "{l}? No.",
}  # fmt: skip
YES_NO = {
    "yes": "{w}", "Yes": "{W}", "Yes.": "{W}.", "Yes, ...": "{W}, the image shows that.",
    "The answer is yes": "The answer is {w}", "Answer: yes": "It stands there.\nAnswer: {w}",
    "<answer>yes</answer>": "<answer>{w}</answer>", "**Yes**": "**{W}**",
    r"\boxed{yes}": r"\boxed{{{w}}}", "I think yes": "I think {w}",
}  # fmt: skip
NO_YES_NO = {
    "yes and no": "yes and no", "not sure": "not sure", "know": "I know", "No idea": "No idea",
    "Nothing": "Nothing is there", "yes or no": "yes or no?", "another word": "maybe",
}  # fmt: skip
TEXTS = {
    "text": "{t}", "Text.": "{T}.", "TEXT": "{U}", "the text": "the {t}",
    "It is text.": "It is {t}.",
    "The answer is text": "The answer is {t}", r"\boxed{text}": r"\boxed{{{t}}}",
    "**text**": "**{t}**",
}  # fmt: skip
NO_TEXTS = {
    "not text": "not {t}",
    "two texts": "{t} or {v}",
    "texts": "{t}s",
    "a word": "Dog of it",
}
NUMBERS = {
    "7": "{n}", "7.0": "{n}.0", "7.": "{n}.", "7 cm": "{n} cm", "x = 7": "x = {n}", "$7$": "${n}$",
    r"\boxed{7}": r"\boxed{{{n}}}", r"\boxed{\text{7}}": r"\boxed{{\text{{{n}}}}}",
    "The answer is 7.": "The answer is {n}.", "14/2": "{twice}/2",
    r"\frac{14}{2}": r"\frac{{{twice}}}{{2}}",
    "retracted box": r"First \boxed{{1}}. No: \boxed{{{n}}}", "sentence": "There are {n} of them",
}  # fmt: skip
NO_NUMBERS = {
    "8": "{m}", "-7": "-{n}", "7 or 8": "{n} or {m}", "7, 8": "{n}, {m}", "77": "{n}7",
    "7%": "{n}%",
    "7^2": "{n}^2", "more than 7": "more than {n}",
}  # fmt: skip
# {px} and {py}: pixels, {sx} and {sy}: shares, {gx} and {gy}: a grid of 1000
PLACES = {
    "(px, px)": "({px}, {py})", "[px, px]": "[{px}, {py}]", "(0.2, 0.3)": "({sx}, {sy})",
    "[0.2, 0.3]": "[{sx}, {sy}]", "[(0.2, 0.3)]": "[({sx}, {sy})]",
    "click(px)": "pyautogui.click(x={px}, y={py})",
    "click(0.2)": "pyautogui.click(x={sx}, y={sy})",
    "The point is (px, px).": "The point is ({px}, {py}).",
    "```json 1000```": '```json\n[{{"point_2d": [{gx}, {gy}], "label": "a"}}]\n```',
    "json 1000": '[{{"point_2d": [{gx}, {gy}]}}]', "json px": '[{{"point_2d": [{px}, {py}]}}]',
    "x: 0.2, y: 0.3": "x: {sx}, y: {sy}", "(px.5, px)": "({px}.5, {py})", "px px": "{px} {py}",
}  # fmt: skip
NO_PLACES = {
    "far, then near": "[(0.99, 0.99), ({sx}, {sy})]", "one number": "{px}",
    "(px, px, px)": "({px}, {py}, 3)", "words": "on the left",
}  # fmt: skip
ONE_WAY = {  # benchmarks of one way of answering; all others are of options
    "pope": "yes_no", "gqa": "text", "screenspot_v2": "place", "screenspot_pro": "place",
}  # fmt: skip
TWO_WAYS = {
    "robospatial": ("yes_no", "place"), "realworldqa": ("choice", "text"),
    "mmmu": ("choice", "number"), "mathvision": ("choice", "number"),
    "mathvista": ("choice", "number"),
}  # fmt: skip
MOST_OPTIONS = {"mmvp": 2, "sat": 2, "mme_realworld": 5, "mathvision": 5, "wemath": 5}


@dataclass(frozen=True)
class Made:
    """A reply, what kind it is of, and whether it answers its question rightly."""

    task: TaskRecord
    kind: str
    reply: str
    is_right: bool


def made_replies(benchmark: str, number: int, *, seed: int = 0) -> Iterator[Made]:
    """Replies to questions of a benchmark, of all kinds in turn."""
    rng = random.Random(f"{benchmark}/{seed}")
    ways = TWO_WAYS.get(benchmark, (ONE_WAY.get(benchmark, "choice"),))
    for i in range(number):
        way = ways[i % len(ways)]
        turn = i // len(ways)
        if way == "choice":
            yield _choice(
                rng, turn, most=MOST_OPTIONS.get(benchmark, 4), is_math="math" in benchmark
            )
        elif way == "yes_no":
            yield _yes_no(rng, turn)
        elif way == "text":
            yield _text(rng, turn)
        elif way == "number":
            yield _number(rng, turn, MathMatch() if "math" in benchmark else OneOf())
        else:
            yield _place(rng, turn, is_polygon=benchmark == "robospatial")


def _choice(rng: random.Random, turn: int, *, most: int, is_math: bool) -> Made:
    options = tuple(rng.sample(WORDS, rng.randint(min(most, 3) if is_math else 2, most)))
    right = rng.randrange(len(options))
    said = right if rng.random() < 0.6 else rng.randrange(len(options))
    others = [i for i in range(len(options)) if i != said]
    other = rng.choice([i for i in others if i != right] or others)
    words = {
        "l": "ABCDE"[said], "low": "abcde"[said], "t": options[said], "o": "ABCDE"[other],
        "v": options[other], "wide": "ＡＢＣＤＥ"[said],
    }  # fmt: skip
    scorer = MathMatch() if is_math else TextMatch()
    task = _task("Which one?", options[right], scorer, options)
    return _filled(rng, turn, task, CHOICES, NO_CHOICES, words, is_right=said == right)


def _yes_no(rng: random.Random, turn: int) -> Made:
    right, said = rng.choice(("yes", "no")), rng.choice(("yes", "no"))
    task = _task("Is there a dog?", right, YesNo())
    words = {"w": said, "W": said.capitalize()}
    return _filled(rng, turn, task, YES_NO, NO_YES_NO, words, is_right=said == right)


def _text(rng: random.Random, turn: int) -> Made:
    right, said, other = (rng.choice(WORDS[:10]) for _ in range(3))
    said = right if rng.random() < 0.5 else said
    other = other if other != said else "sofa"
    words = {"t": said, "T": said.capitalize(), "U": said.upper(), "v": other}
    task = _task("What is it?", right, TextMatch())
    return _filled(rng, turn, task, TEXTS, NO_TEXTS, words, is_right=said == right)


def _number(rng: random.Random, turn: int, scorer: Scorer) -> Made:
    right = rng.randint(2, 60)
    said = right if rng.random() < 0.6 else right + 1
    words = {"n": str(said), "m": str(said + 1), "twice": str(2 * said)}
    task = _task("How many?", str(right), scorer)
    return _filled(rng, turn, task, NUMBERS, NO_NUMBERS, words, is_right=said == right)


def _place(rng: random.Random, turn: int, *, is_polygon: bool) -> Made:
    is_in = rng.random() < 0.5
    x, y = (rng.randint(170, 195), rng.randint(130, 150)) if is_in else (600, 440)
    words = {
        "px": str(x), "py": str(y), "sx": f"{x / 640:.4f}", "sy": f"{y / 480:.4f}",
        "gx": str(round(x / 0.64)), "gy": str(round(y / 0.48)),
    }  # fmt: skip
    if is_polygon:
        task = _task("Where?", POLYGON, PointInPolygon().for_answer(POLYGON))
    else:
        task = _task("Click it", str(BOX.as_tuple()), PointInBox(BOX))
    return _filled(rng, turn, task, PLACES, NO_PLACES, words, is_right=is_in)


def _task(question: str, answer: str, scorer: Scorer, options: Sequence[str] = ()) -> TaskRecord:
    return TaskRecord("made", question, answer, ("made.png",), scorer, tuple(options))


def _filled(
    rng: random.Random,
    turn: int,
    task: TaskRecord,
    good: Mapping[str, str],
    bad: Mapping[str, str],
    words: Mapping[str, str],
    *,
    is_right: bool,
) -> Made:
    kinds = [*good, *bad, "refusal"]
    kind = kinds[turn % len(kinds)]
    if kind == "refusal":
        return Made(task, kind, rng.choice(REFUSALS), False)
    form = good.get(kind, bad.get(kind, ""))
    return Made(task, kind, form.format(**words), is_right and kind in good)
