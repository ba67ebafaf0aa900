"""When a text satisfies what VisualWebArena's config files require of it.

The rules are the benchmark's: case and one pair of quotes around are ignored, and a required text
of a single word must be a word of the answer ("7" is not in "17", "red" not in "redder"), any other
a part of it. So "170" is not in "000000170", which WebArena would take.
Stricter than the benchmark's code in one thing: "< 700" is not met by 700.
Source: web-arena-x/visualwebarena@89f5af2, evaluation_harness/evaluators.py.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable

OR = " |OR| "
_CUT = re.compile(r"\.{2,}|--|[*;@#$%&?!()\[\]{}<>\"“”«»…]|[:,](?!\d)")
_END = re.compile(r"(?<=[^\s.])\.(?=['’]*(?:\s|$))")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|ll|re|ve))\b")
_QUOTE = re.compile(r"(?<!\w)['‘]|['’](?!\w)")
_RELATIONS = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def clean(text: str) -> str:
    """Lower case, without one pair of quotes around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return text.lower()


def words(text: str) -> list[str]:
    """Words and marks apart, much as NLTK's `word_tokenize` takes an English text apart.

    >>> words("it's $1,279.49, on e-bay.")
    ['it', "'s", '$', '1,279.49', ',', 'on', 'e-bay', '.']
    """
    for pattern in (_CUT, _END, _CLITIC, _QUOTE):
        text = pattern.sub(lambda match: f" {match[0]} ", text)
    return text.split()


def is_exact(text: str, wanted: str) -> bool:
    return clean(text) == clean(wanted)


def includes(text: str, wanted: str) -> bool:
    """Whether one of the texts that `wanted` names, apart by " |OR| ", is in the text."""
    return any(_includes(clean(text), clean(one)) for one in wanted.split(OR))


def is_value(text: str, wanted: str) -> bool:
    """Whether a number satisfies a relation such as ">= 300", or one of several.

    Raises:
        ValueError: `wanted` is no relation.
    """
    relations = [_relation(one) for one in wanted.split(OR)]
    try:
        value = float(text.strip().replace(",", ""))
    except ValueError:
        return False
    return math.isfinite(value) and any(holds(value, bound) for holds, bound in relations)


def _includes(text: str, wanted: str) -> bool:
    return wanted in words(text) if len(words(wanted)) == 1 else wanted in text


def _relation(text: str) -> tuple[Callable[[float, float], bool], float]:
    sign = next((one for one in _RELATIONS if text.strip().startswith(one)), None)
    if sign is None:
        raise ValueError(f"{text!r:.40} is no relation such as '>= 300'")
    return _RELATIONS[sign], float(text.strip().removeprefix(sign))
