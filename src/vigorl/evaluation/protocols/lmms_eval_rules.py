"""How lmms-eval takes answers out of replies; each function is named after the one it repeats.

Source: EvolvingLMMs-Lab/lmms-eval@75571cf, lmms_eval/tasks/<task>/utils.py.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence

from vigorl.core.geometry import Point

_NUMBER = r"-?\d+(?:\.\d+)?%?"
_PRIORITY = {
    "start": 10, "end": 9, "phrase": 7, "parentheses": 6, "period": 5, "colon": 4,
    "right_paren": 3, "space": 2, "fallback": 0,
}  # fmt: skip
_PHRASES = [
    "the answer is", "answer is", "the correct answer is", "correct answer is",
    "the best answer is", "best answer is", "the correct option is", "correct option is",
    "the best option is", "best option is", "the choice is", "choice is", "the correct choice is",
    "correct choice is", "i choose", "i select", "i pick", "my answer is", "my choice is", "옵션",
    "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
]  # fmt: skip
_PREFIXES = [
    "The best answer is", "The correct answer is", "The answer is", "The answer",
    "The best option is", "The correct option is", "Best answer:", "Best option:",
]  # fmt: skip
REJECTIONS = [
    "Sorry, I can't help with images of people yet.", "I can't process this file.",
    "I'm sorry, but without the image provided", "Cannot determine the answer",
]  # fmt: skip
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def vstar_letter(reply: str) -> str | None:
    """`extract_answer_letter` of vstar_bench: "Answer: D" is A, "Dog" is D."""
    reply = reply.strip().upper()
    for pattern in (
        r"^([A-D])\s*[\.)\]]*",
        r"(?:THE\s+)?(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        r"\(([A-D])\)",
        r"([A-D])\s*(?:\.|\)|])",
        r"(?:^|\s)([A-D])(?:\s|$)",
    ):
        if match := re.search(pattern, reply, re.IGNORECASE):
            return match[1].upper()
    letters = re.findall(r"[A-D]", reply)
    if len(letters) == 1:
        return letters[0]
    return reply[0] if reply and reply[0] in "ABCD" else None


def first_letter(reply: str) -> str:
    """`_extract_answer_letter` of blink and cv_bench: "The answer is B" is T."""
    match = re.match(r"[\(\s]*([A-Z])[\)\.\s]*", reply.strip(), flags=re.IGNORECASE)
    return match[1].upper() if match else ""


def mmvp_letter(reply: str) -> str:
    """`_extract_answer_letter` of mmvp."""
    reply = reply.strip()
    for pattern in (
        r"^\s*\(?([AB])\)?\.?\s*$",
        r"^\s*\(?([AB])\)?[\.\s]",
        r"answer\s+is\s+\(?([AB])\)?",
        r"option\s+\(?([AB])\)?",
        r"\(?([AB])\)?(?:\s|$)",
    ):
        if match := re.search(pattern, reply, flags=re.IGNORECASE):
            return match[1].upper()
    return reply[0].upper() if reply and reply[0].upper() in "AB" else ""


def sat_word(reply: str, question: str) -> str:
    """`MultiChoiceRegexFilter` of sat: the first word without marks, unless the reply holds an
    option that stands in the question, where there is none.
    """
    options = re.findall(r"\b([A-Z])\.\s+([^\n]*)", question)
    found = {text.strip(): string.ascii_uppercase[i] for i, (_, text) in enumerate(options)}
    clean = re.sub(r"[^\w\s]", "", reply).strip()
    match = re.compile("|".join(re.escape(one) for one in found)).search(clean)
    word = found[match.group()] if match and match.group() in found else clean
    return word.split(" ")[0]


def ai2d_letter(reply: str) -> str:
    """`MultiChoiceRegexFilter` of ai2d: "B. ..." is B, all else is compared as it stands."""
    match = re.match(r"^\s*([A-Z])\.", reply)
    return match[1] if match else reply


def is_exact_match(given: str, right: str) -> bool:
    """The metric `exact_match`, where case and punctuation are ignored; blanks are not."""
    # NumPy's texts end without their last NULs
    a, b = (one.rstrip("\0").lower().translate(_PUNCTUATION).rstrip("\0") for one in (given, right))
    return a == b


def mcq_answer(reply: str, choices: Sequence[str] = "ABCD") -> str:
    """`extract_mcq_answer`: of all letters that stand somewhere, the one in the best form."""
    if not reply or not reply.strip():
        return ""
    text = reply.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    text = f" {text} "
    found: list[tuple[str, int, str]] = []
    for form, kind in (
        ("({})", "parentheses"),
        ("{}.", "period"),
        ("{}:", "colon"),
        ("{})", "right_paren"),
        ("{} ", "space"),
    ):
        for one in choices:
            if form.format(one) in text:
                found.append((one, text.rfind(form.format(one)), kind))
    lower = text.lower()
    for phrase in _PHRASES:
        start = lower.find(phrase)
        for one in choices if start != -1 else ():
            if (place := text.find(one, start + len(phrase))) != -1:
                found.append((one, place, "phrase"))
    bare = text.strip()
    for one in choices:
        if bare.startswith(one) and (len(bare) == 1 or not bare[1].isalpha()):
            found.append((one, 0, "start"))
    for one in choices:
        if bare.endswith(one) and (len(bare) == 1 or not bare[-2].isalpha()):
            found.append((one, len(text) - 1, "end"))
    if not found:
        found = [(one, text.rfind(one), "fallback") for one in choices if one in text]
    found.sort(key=lambda one: (_PRIORITY[one[2]], one[1]), reverse=True)
    return found[0][0] if found else ""


def characters_regex(reply: str) -> str:
    """`extract_characters_regex` of mme_realworld: the first capital of A to E."""
    reply = reply.strip()
    for prefix in _PREFIXES:
        reply = reply.replace(prefix, "")
    if len(reply.split()) > 10 and not re.search("[ABCDE]", reply):
        return ""
    match = re.search(r"[ABCDE]", reply)
    if match:
        return match[0]
    return next((one for one in "ABCDE" if reply.lower() in f"({one.lower()})"), "")


def hrbench_letter(reply: str, options: Mapping[str, str]) -> str:
    """`can_infer` of hrbench; "" where it would ask GPT-4o."""
    if "Failed to obtain answer via API" not in reply:
        if any(one in reply for one in REJECTIONS):
            return "Z"
        words = reply.translate(str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))).split()
        named = [one for one in options if one in words]
        if len(named) == 1:
            return named[0]
        if not named and "Z" in words:
            return "Z"
    held = [one for one, text in options.items() if text.lower() in reply.lower()]
    return held[0] if len(held) == 1 else ""


def mmmu_letter(reply: str, options: Mapping[str, str]) -> str:
    """`parse_mmmu_multi_choice_response`; "" where it draws a letter by lot."""
    for mark in ",.!?;:'":
        reply = reply.strip(mark)
    reply = f" {reply} "
    found = [one for one in options if f"({one})" in reply]
    in_brackets, is_letter = bool(found), True
    found = found or [one for one in options if f"{one} " in reply]
    found = found or [one for one in options if f"{one}." in reply]
    if not found and len(reply.split()) > 5:
        found = [one for one, text in options.items() if text.lower() in reply.lower()]
        is_letter = not found
    if len(found) < 2:
        return found[0] if found else ""
    if not is_letter:
        places = [reply.lower().rfind(options[one].lower()) for one in found]
    else:
        places = [reply.rfind(f"({one})" if in_brackets else f" {one} ") for one in found]
    return found[places.index(max(places))]


def without_thoughts(reply: str) -> str:
    """`remove_think` of robo_spatial."""
    for tag in ("think", "thought"):
        reply = re.sub(rf"^.*?</{tag}>", "", reply, flags=re.DOTALL)
    match = re.search(r"<answer>(.*?)</answer>", reply, flags=re.DOTALL | re.IGNORECASE)
    return (match[1] if match else reply).strip()


def binary_answer(reply: str) -> bool | None:
    """`evaluate_binary_answer` of robo_spatial: "not" and "know" hold "no"."""
    line = reply.strip().lower().split("\n")[-1]
    yes, no = "yes" in line, "no" in line
    return None if yes == no else yes


def json_points(reply: str, *, width: int, height: int) -> list[tuple[int, int]]:
    """`json2pts` of robo_spatial: places on a grid of 1000 in a fenced block, as ORIGINAL pixels.

    What would end a run of the kit's code (a list of anything but objects) has no places here.
    """
    match = re.search(r"```(?:\w+)?\n(.*?)```", reply, re.DOTALL)
    try:
        found = json.loads(match[1].strip()) if match else []
        pairs = [
            one["point_2d"]
            for one in found
            if isinstance(one.get("point_2d"), list) and len(one["point_2d"]) == 2
        ]
        return [(int(x / 1000 * width), int(y / 1000 * height)) for x, y in pairs]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return []


def screen_point(reply: str) -> Point | None:
    """`_parse_point` of screenspot_v2 and screenspot_pro."""
    box = re.search(r"<\s*bbox[^>]*>(.*?)<\s*/\s*bbox\s*>", reply, re.IGNORECASE | re.DOTALL)
    if box and len(numbers := re.findall(_NUMBER, box[1])) >= 4:
        return _center(numbers)
    for pattern in (
        rf"[\[\(]\s*({_NUMBER})\s*(?:,|\s)\s*({_NUMBER})\s*[\]\)]",
        rf"['\"]?x['\"]?\s*[:=]\s*({_NUMBER}).*?['\"]?y['\"]?\s*[:=]\s*({_NUMBER})",
    ):
        if match := re.search(pattern, reply, re.IGNORECASE | re.DOTALL):
            return Point(_value(match[1]), _value(match[2]))
    numbers = re.findall(_NUMBER, reply)
    if len(numbers) >= 4 and any(word in reply.lower() for word in ("box", "rect")):
        return _center(numbers)
    return Point(_value(numbers[0]), _value(numbers[1])) if len(numbers) >= 2 else None


def _center(numbers: Sequence[str]) -> Point:
    x1, y1, x2, y2 = (_value(one) for one in numbers[:4])
    return Point((x1 + x2) / 2.0, (y1 + y2) / 2.0)


def _value(text: str) -> float:
    return float(text[:-1]) / 100.0 if text.endswith("%") else float(text)
