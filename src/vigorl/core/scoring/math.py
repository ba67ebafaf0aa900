r"""Right is a value, however it is written: "\frac12", "0.5", "\boxed{\frac{2}{4}}".

The LAST balanced "\boxed{...}" is the answer, or all of it where there is none. Texts and plain
numbers are compared here; anything else by math-verify (github.com/huggingface/
Math-Verify), in a process of its own with a limit on its time and memory, because there are short
answers on which algebra never ends.

Left out: units of measure, which math-verify drops ("30 cm" is 30), are compared before; words are
never read as products of letters ("red" is not "e d r").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.algebra import are_equal, require_algebra
from vigorl.core.scoring.number import read_quantity
from vigorl.core.scoring.reading import boxed_parts, unwrapped, without_label, without_styles
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import fold_answer, option_index

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_COMMAND = re.compile(r"\\[a-zA-Z]+")
_FUNCTIONS = re.compile(r"\b(?:sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|theta|alpha|beta)\b")
_WORD = re.compile(r"[a-zA-Z]{3,}|[^\W\d_a-zA-Z]{2,}")
_SENTENCE = re.compile(r"(?<!\\)\b[a-zA-Z]\s*[.:)](?:\s|\d)|[.?!;]\s")  # "B. 42" is not 42
_NOT_FOLDED = re.compile(r"[²³¹⁰⁴-⁹(\[{]")  # powers are no digits, "[1, 2]" is not "(1, 2)"
_POWERS = {ord(one): f"^{power}" for power, one in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_ROOT = re.compile(r"(?<!\\)(?:sqrt|√)\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+))")
_UNIT = re.compile(
    r"(?:(?<=[\d})])|(?<=\\pi))\s*(?:\\[,;! ]|~)?\s*"
    r"(?P<unit>(?:[mck]?m|[mk]?g|[m]?l|s|h|ft|in|km/h|m/s|%|\\%"
    r"|\^?\\?(?:circ|degree)s?|\^\{\\circ\}|°)(?:\^\{?[23]\}?|[²³])?)\s*\.?$"
)
_NO_UNIT = {"^\\circ", "^{\\circ}", "\\degree", "°", "degrees", "degree", "circ"}


@dataclass(frozen=True, slots=True)
class MathMatch(Scorer):
    """1.0 for the right value, or the right option's letter, text or value; else 0.0.

    Raises:
        ConfigError: math-verify is not installed.
    """

    goes_by_answer = True

    def __post_init__(self) -> None:
        require_algebra()

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        given = final_answer(answer)
        right = option_index(task.answer, task.options) if task.options else None
        if right is None:
            is_same = answer.strip() == task.answer.strip() != ""
            return float(is_same or is_same_value(given, task.answer))
        bare = [unwrapped(option) for option in task.options]  # "$1,2$" is no value but a text
        found = (
            option_index(*one)
            for one in ((answer, task.options), (given, task.options), (given, bare))
        )
        chosen = next((index for index in found if index is not None), None)
        if chosen is None:
            fitting = [i for i, one in enumerate(task.options) if is_same_value(given, one)]
            chosen = fitting[0] if len(fitting) == 1 else None
        return float(chosen == right)

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(final_answer(answer))


def final_answer(text: str) -> str:
    r"""What the last balanced box holds, or the text without its wrapping.

    >>> final_answer(r"First \boxed{1}. No: \boxed{\text{2}}")
    '2'
    """
    boxes = boxed_parts(text)
    return without_styles(boxes[-1]).strip() if boxes else unwrapped(text)


def is_same_value(given: str, right: str) -> bool:
    """Whether two texts are one value; "" is none."""
    if not given.strip():
        return False
    given, right = without_label(*(final_answer(one).rstrip(" .。") for one in (given, right)))
    if fold_answer(given) == fold_answer(right) and not _NOT_FOLDED.search(given + right):
        return True
    a, b = read_quantity(given), read_quantity(right)
    if a is not None and b is not None and not (a.unit and b.unit and a.unit != b.unit):
        return a.value == b.value and (a.unit == b.unit or "%" not in (a.unit, b.unit))
    (given, unit), (right, wanted) = _without_unit(given), _without_unit(right)
    if unit != wanted and ((unit and wanted) or "%" in (unit, wanted)):
        return False
    given, right = _as_latex(given), _as_latex(right)
    if _has_words(given) or _has_words(right) or _SENTENCE.search(given):
        return False
    return are_equal(given, right)


def _as_latex(text: str) -> str:
    """With roots, powers and pi as LaTeX writes them."""
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2] or match[3]}}}", text)
    return re.sub(r"(?<![\\a-zA-Z])pi(?![a-zA-Z])|π", r"\\pi ", text.translate(_POWERS))


def _without_unit(text: str) -> tuple[str, str]:
    match = _UNIT.search(text)
    if match is None:
        return text, ""
    unit = match["unit"].replace("\\%", "%").replace("²", "^2").replace("³", "^3")
    return text[: match.start()], "" if unit in _NO_UNIT else unit.replace("{", "").replace("}", "")


def _has_words(text: str) -> bool:
    return bool(_WORD.search(_FUNCTIONS.sub(" ", _COMMAND.sub(" ", text))))
