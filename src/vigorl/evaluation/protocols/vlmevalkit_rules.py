"""How VLMEvalKit takes answers out of replies; each function is named after the one it repeats.

Source: open-compass/VLMEvalKit@e8e78f0, vlmeval/utils/matching_util.py and vlmeval/dataset.
"""

from __future__ import annotations

import ast
import contextlib
import json
import operator
import re
import warnings
from collections.abc import Mapping, Sequence

from vigorl.core.geometry import Point
from vigorl.core.scoring.algebra import are_equal
from vigorl.evaluation.protocols.lmms_eval_rules import REJECTIONS

_OPERATIONS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_VERBOSE = re.compile(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**")
_BLANKED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_PUNCTUATION = [
    ";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",",
    "?", "!",
]  # fmt: skip
_CLICK = re.compile(r"x=([\d.]+), y=([\d.]+)")
_TUPLE = re.compile(r"\(([-+]?\d+\.?\d*(?:,\s*[-+]?\d+\.?\d*)*?)\)")


def infer(reply: str, options: Mapping[str, str]) -> str:
    """`can_infer`: an option's letter, "Z" for some refusals; "" where it would ask a judge, and
    without one says Z too.
    """
    return _infer_option(reply, options) or _infer_text(reply, options)


def _infer_option(reply: str, options: Mapping[str, str]) -> str:
    if "Failed to obtain answer via API" in reply:
        return ""
    if any(one in reply for one in REJECTIONS):
        return "Z"
    words = reply.translate(_BLANKED).split()
    named = [one for one in options if one in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and "Z" in words:
        return "Z"
    match = _VERBOSE.search(reply)
    return match[1].upper() if match and match[1].upper() in options else ""


def _infer_text(reply: str, options: Mapping[str, str]) -> str:
    reply = reply.lower()
    if len(reply) > 2 * sum(map(len, options.values())):
        return ""
    held = [one for one, text in options.items() if text.lower() in reply]
    return held[0] if len(held) == 1 else ""


def answer_tag(reply: str) -> str:
    """What MME-RealWorld and TreeBench look at: between the first answer tags, as capitals."""
    match = re.search(r"<answer>(.*?)</answer>", reply, re.DOTALL)
    return match[1].strip().upper() if match else reply


def yes_or_no(reply: str) -> bool | None:
    """`YOrN_Extraction`: exactly one of the two words."""
    words = process_punctuation(reply.lower()).split()
    return None if ("yes" in words) == ("no" in words) else "yes" in words


def process_punctuation(text: str) -> str:
    """The VQA metric's way with marks."""
    out, has_thousands = text, re.search(r"(\d)(,)(\d)", text) is not None
    for mark in _PUNCTUATION:
        is_loose = mark + " " in text or " " + mark in text
        out = out.replace(mark, "" if is_loose or has_thousands else " ")
    return re.sub(r"(?<!\d)\.(?!\d)", "", out, count=int(re.UNICODE))  # a flag in a count's place


def wemath_letter(reply: str) -> str:
    """`load_and_process_data` of WeMath: the first letter behind the last "Answer"."""
    text = re.sub(r"[>><<:.]", "", reply.split("Answer")[-1].strip()).strip()
    return text[0] if text and text[0] in "ABCDEFGH" else ""


def is_same_value(given: str, right: str) -> bool:
    """`is_equal` of mathv: what Python computes of two texts, where they are arithmetic, else what
    LaTeX comes to.
    """
    a, b = arithmetic(given), arithmetic(right)
    if a is not None and b is not None and abs(a - b) < 1e-6:
        return True
    return are_equal(given, right, how="close")


def arithmetic(text: str) -> float | None:
    """What Python computes of numbers, the four operations and "or" ("3 or 4" is 3); None of
    anything else, which would be a policy's code.
    """
    value = None
    if re.fullmatch(r"(?:[\d.\s()+*/eE_-]|or){1,200}", text) and "**" not in text:
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = _computed(ast.parse(text.strip(), mode="eval").body)
    return value


def _computed(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _computed(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        values = [_computed(one) for one in node.values]
        return None if None in values else next(filter(None, values), values[-1])
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATIONS:
        return None
    a, b = _computed(node.left), _computed(node.right)
    if a is None or b is None or (isinstance(node.op, ast.Div) and b == 0):
        return None
    return _OPERATIONS[type(node.op)](a, b)


def click_point(reply: str) -> Point | None:
    """`parse_bbox_aguvis` of the ScreenSpots; None where it says (0, 0), and where a number that is
    none would end its try.
    """
    match = _CLICK.search(reply)
    if match is None:
        return None
    try:
        return Point(float(match[1]), float(match[2]))
    except ValueError:
        return None


def first_point(reply: str, *, width: int, height: int) -> Point | None:
    """The first place of `Point2DParser`, as shares of the picture: of a JSON list, on a grid of
    1000 or in shares or pixels by its size; else of a text, in shares or pixels.
    """
    found = _json_point(reply, width=width, height=height)
    if found is not None:
        return found
    for match in _TUPLE.finditer(reply):
        numbers = [float(one) for one in match[1].split(",")]
        is_share = max(map(abs, numbers)) <= 1.5
        scale = (1.0, 1.0) if is_share else (width, height)
        if len(numbers) == 2:
            return Point(numbers[0] / scale[0], numbers[1] / scale[1])
        if len(numbers) == 4 and (corner := _corner(numbers, is_share, width, height)):
            return corner
    return None


def _corner(numbers: Sequence[float], is_share: bool, width: int, height: int) -> Point | None:
    """The first pixel of a box that has any, as shares of the picture."""
    by = (width, height) if is_share else (1, 1)
    x0, x1 = sorted((numbers[0] * by[0], numbers[2] * by[0]))
    y0, y1 = sorted((numbers[1] * by[1], numbers[3] * by[1]))
    if round(x1) <= round(x0) or round(y1) <= round(y0):
        return None
    return Point(round(x0) / width, round(y0) / height)


def _json_point(reply: str, *, width: int, height: int) -> Point | None:
    value = _literal(_without_fence(reply))
    for one in [value] if isinstance(value, dict) else value if isinstance(value, list) else []:
        if not isinstance(one, dict):
            continue
        place = one.get("point_2d") or one.get("point")
        if not isinstance(place, list | tuple) or len(place) != 2:
            continue
        try:
            x, y = float(place[0]), float(place[1])
        except (ValueError, TypeError, OverflowError):
            continue
        largest = max(abs(x), abs(y))
        if largest <= 1.5:
            return Point(x, y)
        return Point(x / 1000.0, y / 1000.0) if largest <= 1000.0 else Point(x / width, y / height)
    return None


def _literal(text: str) -> object:
    """What a text is as JSON, or else as a Python literal; None when it is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if value is not None:
        return value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange escapes: the reply is a policy's
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def _without_fence(text: str) -> str:
    """`_strip_md_fence`."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    _, line, inner = text.partition("\n")
    inner = (inner if line else text.lstrip("`")).strip()
    return inner.removesuffix("```").strip()


def is_in_polygon(point: Point, corners: Sequence[Point]) -> bool:
    """`point_in_polygon` of RoboSpatialBench: a ray, which counts upright edges on both sides, so
    that nothing is inside of a rectangle.
    """
    is_inside = False
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        if not min(a.y, b.y) < point.y <= max(a.y, b.y):
            continue
        crossing = (point.y - a.y) * (b.x - a.x) / (b.y - a.y) + a.x
        if a.x == b.x or point.x <= crossing:
            is_inside = not is_inside
    return is_inside
