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
_NOUN = r"(?:answer|option|choice|response|solution)"
_WHICH = r"(?:(?:final|correct|right|best|most\s+likely)\s+)*"
_LEAD = re.compile(
    rf"(?:(?:so|thus|therefore|hence|overall|in\s+conclusion|finally)\b,?\s+)?"
    rf"(?:(?:(?:the|my)\s+)?{_WHICH}{_NOUN}(?:\s+(?:here|to\s+(?:the|this)\s+question))?"
    rf"(?:\s+(?:is|would\s+be|should\s+be|must\s+be)\b\s*:?|\s*[:=])"
    rf"|i\s+(?:choose|select|pick)\b\s*:?"
    rf"|(?:所以|因此)?(?:，|,)?(?:正确|最终)?(?:的)?(?:答案|选项)(?:应该)?(?:是|为|:)\s*:?|(?:我)?选择?(?!项))\s*",
    re.IGNORECASE,
)
_TAIL = re.compile(
    rf"\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+{_NOUN})?\s*$|(?:是)?正确(?:的)?(?:答案|选项)?$",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*|__)(?=\S)(.+?)(?<=\S)\1(?![\w*])", re.DOTALL)


def boxed_parts(text: str) -> list[str]:
    r"""What stands in every balanced "\boxed{...}", in order; those inside another one are not
    apart.

    >>> boxed_parts(r"\boxed{1}, no: \boxed{\frac{1}{2}}")
    ['1', '\\frac{1}{2}']
    """
    parts, start = [], 0
    while match := _BOXED.search(text, start):
        end = _closing_brace(text, match.end())
        if end is None:
            start = match.end()
            continue
        parts.append(text[match.end() : end])
        start = end + 1
    return parts


def without_styles(text: str) -> str:
    r"""LaTeX without the commands that only say how its text looks.

    >>> without_styles(r"\text{(B)}\ \mathrm{cm}")
    '(B)\\ cm'
    """
    before = None
    while before != text:
        before, text = text, _STYLED.sub(r"\1", text)
    return text


def unwrapped(text: str) -> str:
    r"""An answer without what is only wrapped around it; itself where there is no wrapping.

    A box counts where it is the only one, whatever stands around it; two boxes are two answers.

    >>> unwrapped(r"The answer is \boxed{\text{B}}."), unwrapped("B is correct")
    ('B', 'B')
    """
    boxes = boxed_parts(text)
    if len(boxes) > 1 and len({without_styles(box).strip() for box in boxes}) > 1:
        return text
    if boxes:
        return without_styles(boxes[-1]).strip()
    text = _EMPHASIS.sub(r"\2", text).strip().replace("：", ":")
    if match := _LEAD.match(text):
        text = text[match.end() :]
    text = _TAIL.sub("", text.rstrip(" .。!！")) if _TAIL.search(text.rstrip(" .。!！")) else text
    return _without_dollars(without_styles(text).strip())


def _without_dollars(text: str) -> str:
    trimmed = text.rstrip(" .。")
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        is_around = trimmed.startswith(left) and trimmed.endswith(right)
        inner = trimmed[len(left) : -len(right)]
        if is_around and inner and left not in inner:
            return inner.strip()
    return text


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for i in range(start, len(text)):
        if text[i] in "{}" and text[i - 1] != "\\":
            depth += 1 if text[i] == "{" else -1
            if depth == 0:
                return i
    return None
