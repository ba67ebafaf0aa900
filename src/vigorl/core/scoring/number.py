"""Right is a number, however it is written: "3", "three", "1/2", "1,234", "50 %", "3 cars"."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.reading import unwrapped, without_label
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import fold_answer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(["zero", *_ONES, *_TEENS])}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS, start=2)} | {"hundred": 100}
_CHINESE = {word: value for value, word in enumerate("零一二三四五六七八九")} | {"两": 2}
_ONE, _CHINESE_ONE = "|".join(_ONES), "[一二三四五六七八九]"
_BELOW_100 = rf"(?:{'|'.join(_TENS)})(?:[-\s](?:{_ONE}))?|{'|'.join(reversed(_TEENS))}|{_ONE}"
_WORD = (
    rf"(?:(?:(?:{_ONE}|an?)[-\s])?hundred(?:\s(?:and\s)?(?:{_BELOW_100}))?|{_BELOW_100}|zero)(?![a-z])"
    rf"|{_CHINESE_ONE}?十{_CHINESE_ONE}?|[零两]|{_CHINESE_ONE}"
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?|\.\d{1,30}"
_NUMBER = re.compile(
    rf"(?P<sign>[-+])?\s?(?P<currency>[$€£¥])?\s?"
    rf"(?:(?:(?P<whole>\d{{1,30}})\s)?(?P<top>\d{{1,30}})\s?/\s?(?P<bottom>\d{{1,30}})"
    rf"|(?P<digits>{_DIGITS})(?:e(?P<power>[-+]?\d{{1,2}}))?"
    rf"|(?P<word>{_WORD}))"
    rf"(?![\d.,/])\s?(?P<unit>[^\d\s,;.?!()\[\]=<>~≈-][^\d\s,;?!()\[\]=<>~≈-]*(?:\s?[²³])?)?"
)
_POWER = re.compile(r"\d\s?[²³¹⁰⁴-⁹]|\^")  # NFKC would make a digit of it
_VULGAR = re.compile(r"(\d)\s?([¼-¾⅐-⅞])")
_MULTIPLES = {"dozen", "thousand", "million", "billion", "k", "m", "bn"}
_CHINESE_NUMERAL = re.compile("[零一二两三四五六七八九十百千万亿]")
_SAME_UNITS = {"%": "percent", "percentage": "percent", "°": "degree", "个": ""}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as an answer writes it, exactly, with its unit as it stands there, or ""."""

    value: Fraction
    unit: str = ""


@dataclass(frozen=True, slots=True)
class NumberMatch(Scorer):
    """1.0 for the right number, else 0.0; compared as fractions, so 0.5 is 1/2.

    An answer may leave its unit out. One that it names must be the right answer's, or stand in the
    question ("3 cars" where cars are counted), so that "5 kg" is never "5 g". Two numbers, a range
    or a decimal comma ("1,5") are no number.

    Attributes:
        decimals: Places after the point to which both are rounded before; None compares exactly.
        tolerance: Largest difference that is right, as a share of the right number.
    """

    goes_by_answer = True

    decimals: int | None = None
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1 or not 0 <= (self.decimals or 0) <= 30:
            raise ValueError(
                f"tolerance={self.tolerance} must be in [0, 1), decimals={self.decimals} in 0 to 30"
            )

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None:
            return 0.0
        given, right = quantities(answer, task.answer)
        if given is None or right is None:
            return 0.0
        return float(self._fits(given, right) and _has_right_unit(given, right, task.question))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return quantities(answer, "")[0] is not None

    def for_answer(self, answer: str) -> NumberMatch:
        if read_quantity(answer) is None:
            raise ValueError(f'must be a number such as "3" or "1/2", got {answer!r:.60}')
        return self

    def _fits(self, given: Quantity, right: Quantity) -> bool:
        a, b = given.value, right.value
        if self.decimals is not None:
            a, b = round(a, self.decimals), round(b, self.decimals)
        return abs(a - b) <= abs(b) * Fraction(self.tolerance)


def read_quantity(text: str) -> Quantity | None:
    """The one number that an answer is; None when it is anything else.

    >>> read_quantity("3 cars"), read_quantity("1,234.50"), read_quantity("1,5")
    (Quantity(value=Fraction(3, 1), unit='cars'), Quantity(value=Fraction(2469, 2), unit=''), None)
    """
    bare = unwrapped(text)
    if _POWER.search(bare):
        return None
    folded = fold_answer(_plain_fractions(bare).replace(r"\%", "%"))
    match = _NUMBER.fullmatch(folded)
    if match is None:
        return None
    unit = match["unit"] or ""
    if unit in _MULTIPLES | _VALUES.keys() or _CHINESE_NUMERAL.match(unit):
        return None
    value = _value(match)
    if value is None:
        return None
    unit = (unit or match["currency"] or "").rstrip(".")
    return Quantity(-value if match["sign"] == "-" else value, unit)


def quantities(answer: str, right: str) -> tuple[Quantity | None, Quantity | None]:
    """Of two answers, of which one alone may say what it is: "x = 3", but "y = 3" is not that."""
    given, right = without_label(unwrapped(answer), right)
    return read_quantity(given), read_quantity(right)


def _value(match: re.Match[str]) -> Fraction | None:
    if match["word"]:
        return Fraction(_value_of_word(match["word"]))
    if match["top"]:
        whole, top, bottom = int(match["whole"] or 0), int(match["top"]), int(match["bottom"])
        return Fraction(top, bottom) + whole if bottom else None
    return Fraction(match["digits"].replace(",", "")) * Fraction(10) ** int(match["power"] or 0)


def _value_of_word(text: str) -> int:
    """Of "two hundred and twenty-one" or "二十一"."""
    if text[0] in _CHINESE or text[0] == "十":
        tens, is_above, ones = text.rpartition("十")
        return (10 * _CHINESE[tens or "一"] if is_above else 0) + (_CHINESE[ones] if ones else 0)
    above, is_above, below = text.rpartition("hundred")
    words = re.split(r"[-\s]", below)
    hundreds = _VALUES.get(above.strip(" -"), 1) if is_above else 0
    return 100 * hundreds + sum(_VALUES.get(word, 0) for word in words)


def _plain_fractions(text: str) -> str:
    r"""With "\frac{1}{2}" as "1/2"."""
    found = re.sub(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1/\2", text)
    found = _VULGAR.sub(r"\1 \2", found)  # or NFKC makes "21⁄2" of "2½"
    return unicodedata.normalize("NFKC", found).replace("⁄", "/")


def _has_right_unit(given: Quantity, right: Quantity, question: str) -> bool:
    if not given.unit or _same_unit(given.unit) == _same_unit(right.unit):
        return True
    if right.unit:
        return False
    words = {_same_unit(word) for word in re.split(r"[\s,;.?!()]+", question.casefold())}
    return _same_unit(given.unit) in words | {""}


def _same_unit(unit: str) -> str:
    """A unit as it is compared: signs as words, no plural."""
    unit = _SAME_UNITS.get(unit, unit)
    return unit[:-1] if len(unit) > 3 and unit.endswith("s") and unit[-2] != "s" else unit
