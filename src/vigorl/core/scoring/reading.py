r"""What an answer says once its wrapping is off: "\boxed{B}", "The answer is B", "B is correct".

Only wrapping goes. What is left has to be an answer as a whole, so that a sentence which names
several answers, or takes one back, is none.
"""

from __future__ import annotations

import re

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_STYLED = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|normal)?|math(?:bf|it|rm|tt|sf)?|mbox|operatorname)\s*\{([^{}]*)\}"
)
_DEEPEST = 16  # commands within one another
_NOUN = r"(?:answer|option|choice|response|solution)"
_WHICH = r"(?:(?:final|correct|right|best|most\s+likely)\s+)*"
_LEAD = re.compile(
    rf"(?:(?:so|thus|therefore|hence|overall|in\s+conclusion|finally)\b,?\s+)?"
    rf"(?:(?:(?:the|my)\s+)?{_WHICH}{_NOUN}(?:\s+(?:here|to\s+(?:the|this)\s+question))?"
    rf"(?:\s+(?:is|would\s+be|should\s+be|must\s+be)\b\s*:?|\s*[:=])"
    rf"|i\s+(?:choose|select|pick)\b\s*:?"
    r"|(?:i\s+think\s+)?(?:it|this|that)(?:['’]s|\s+is)\b\s*|i\s+think\b\s*"
    rf"|(?:所以|因此)?(?:，|,)?(?:正确|最终)?(?:的)?(?:答案|选项)(?:应该)?(?:是|为|:)\s*:?"
    r"|选项(?=\s*[(（]?[a-z](?![a-z]))|(?:我)?选择?(?!项))\s*",
    re.IGNORECASE,
)
_TAIL = re.compile(
    rf"\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+{_NOUN})?\s*$|(?:是)?正确(?:的)?(?:答案|选项)?$",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\s*([a-zA-Z](?:_\{?\w+\}?)?(?:\([a-z]\))?)\s*=\s*(?=[^=]+$)")
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*|__)(?=\S)([^*_]+)(?<=\S)\1(?![\w*])")


def boxed_parts(text: str) -> list[str]:
    r"""What stands in every balanced "\boxed{...}", in order; those inside another one are not
    apart.

    >>> boxed_parts(r"\boxed{1}, no: \boxed{\frac{1}{2}}")
    ['1', '\\frac{1}{2}']
    """
    return [text[start:end] for _, start, end in _boxes(text)]


def without_styles(text: str) -> str:
    r"""LaTeX without the commands that only say how its text looks.

    >>> without_styles(r"\text{(B)}\ \mathrm{cm}")
    '(B)\\ cm'
    """
    for _ in range(_DEEPEST):
        before, text = text, _STYLED.sub(r"\1", text)
        if before == text:
            break
    return text


def unwrapped(text: str) -> str:
    r"""An answer without what is only wrapped around it; itself where there is no wrapping.

    >>> unwrapped(r"The answer is \boxed{\text{B}}."), unwrapped("B is correct")
    ('B.', 'B')
    """
    for begin, start, end in reversed(_boxes(text)):
        gap = " " if text[end + 1 : end + 2].isalnum() else ""  # two boxes are two answers
        text = text[:begin] + text[start:end] + gap + text[end + 1 :]
    plain = " ".join(text.replace("：", ":").split())  # runs of blanks would cost their square
    text = without_styles(_EMPHASIS.sub(r"\2", plain)).strip()
    match = _LEAD.match(text)
    rest = text[match.end() :] if match else text
    text = text if rest.strip(" .") == "a" else rest  # an article whose noun never came
    bare = text.rstrip(" .。!！")
    text = _TAIL.sub("", bare) if _TAIL.search(bare) else text
    return _without_dollars(text.strip())


def without_label(given: str, right: str) -> tuple[str, str]:
    """Both without "x =", unless each has one of its own.

    >>> without_label("x = 3", "3"), without_label("x = 3", "y = 3")
    (('3', '3'), ('x = 3', 'y = 3'))
    """
    a, b = _LABEL.match(given), _LABEL.match(right)
    if a and b and a[1] != b[1]:
        return given, right
    return given[a.end() if a else 0 :], right[b.end() if b else 0 :]


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """Of every outermost balanced box: where it begins, and where its inside begins and ends."""
    ends = _closing_braces(text)
    found: list[tuple[int, int, int]] = []
    for match in _BOXED.finditer(text):
        end = ends.get(match.end() - 1)
        if end is not None and (not found or match.start() > found[-1][2]):
            found.append((match.start(), match.end(), end))
    return found


def _without_dollars(text: str) -> str:
    trimmed = text.rstrip(" .。")
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        is_around = trimmed.startswith(left) and trimmed.endswith(right)
        inner = trimmed[len(left) : -len(right)]
        if is_around and inner and left not in inner:
            return inner.strip()
    return text


def _closing_braces(text: str) -> dict[int, int]:
    """Where each brace that opens is closed; linear in the text, whatever it holds."""
    waiting: list[int] = []
    ends: dict[int, int] = {}
    for i, character in enumerate(text):
        if character not in "{}" or (i and text[i - 1] == "\\"):
            continue
        if character == "{":
            waiting.append(i)
        elif waiting:
            ends[waiting.pop()] = i
    return ends
