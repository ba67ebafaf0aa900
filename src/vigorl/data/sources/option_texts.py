"""Options that stand in a text with their letters, and answers that name them.

What is it?                        question
(A) red                            options: "red" and "blue or
(B) blue or                        green"
green
Answer with the option's letter.   a request for a letter, which is dropped: the prompt says how
                                   to answer
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Sequence

# "(A) red", "A. red", "A) red", "A: red", at the start of a line; all options in one of the ways
_LINES = tuple(
    re.compile(rf"\s*{label}[ \t]*(.*)", re.DOTALL)
    for label in (r"\(([A-Z])\)", r"([A-Z])\.", r"([A-Z])\)", r"([A-Z]):")
)
_INLINE = re.compile(r"\(([A-Za-z])\)")  # "(a) Left (b) Right"
_LABEL = re.compile(r"\s*(?:\(?([A-Za-z])[.):](?=\s)|\(([A-Za-z])\)|([A-Za-z])\))\s*(?=\S)")
_LETTER = re.compile(r"\W*([A-Za-z])\W*")
_REQUEST = re.compile(  # for a letter
    r"\s*(?:please\s+)?(?:answer|choose|select|reply|respond|give)\b.*\b(?:letter|option|choice)",
    re.IGNORECASE,
)


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The question, and the options that it ends in: from the last line that begins with an A that
    labels on; no options where there is no such line, or nothing but A.

    What stands between two options belongs to the first of them; so does what stands behind the
    last, up to the request for a letter.

    Raises:
        ValueError: The letters are not A, B, C, ... in order.
    """
    lines = text.split("\n")
    for form in _LINES:
        openings = [form.match(line) for line in lines]
        begins = [i for i, match in enumerate(openings) if match and match[1] == "A"]
        if not begins:
            continue
        first = begins[-1]
        options: list[str] = []
        for line, match in zip(lines[first:], openings[first:], strict=True):
            if match is None and _REQUEST.match(line):
                break
            if match is None:
                options[-1] += f"\n{line}"
                continue
            due = string.ascii_uppercase[len(options) : len(options) + 1]
            if match[1] != due:
                raise ValueError(f"option ({match[1]}) where ({due or 'none'}) was due")
            options.append(match[2])
        if len(options) > 1:
            return "\n".join(lines[:first]).strip(), tuple(map(str.strip, options))
    return text.strip(), ()


def listed_options(text: str) -> tuple[str, ...]:
    """Options written as one text: a Python or JSON list, with their letters, each on a line or
    all in one, or with a line end, "|" or ";" between them; none where it is empty.

    >>> listed_options("['red', \\"the dog's\\"]"), listed_options("(a) Left (b) Right")
    (('red', "the dog's"), ('Left', 'Right'))
    >>> listed_options("left; right")
    ('left', 'right')

    Raises:
        ValueError: It is neither.
    """
    text = text.strip()
    if not text:
        return ()
    if text.startswith("["):
        return without_labels([str(one) for one in parse_list(text)])
    options = split_options(text)[1]
    if options:
        return options
    begins: list[re.Match[str]] = []
    for match in _INLINE.finditer(text):
        if match[1].upper() == string.ascii_uppercase[len(begins) : len(begins) + 1]:
            begins.append(match)
    if len(begins) < 2 or begins[0].start() > 0:
        return _between_marks(text)
    ends = [match.start() for match in begins[1:]] + [len(text)]
    return tuple(text[match.end() : end].strip() for match, end in zip(begins, ends, strict=True))


def _between_marks(text: str) -> tuple[str, ...]:
    mark = next((mark for mark in "\n|;" if mark in text), None)
    options = [part.strip() for part in text.split(mark)] if mark else []
    if not options or not all(options):
        raise ValueError("it is no list: write red;blue or ['red', 'blue'] or (A) red (B) blue")
    return tuple(options)


def parse_list(text: str) -> list[object]:
    """A list that is written as a text, as Python or JSON writes it.

    Raises:
        ValueError: It is none.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"is no list: {error!s:.80}") from error
    if not isinstance(value, list):
        raise ValueError(f"is no list: {text[:40]!r}")
    return value


def without_labels(options: Sequence[str]) -> tuple[str, ...]:
    """The texts behind the options' own letters ("(A) red"), where all have theirs, in order; else
    as they are.

    >>> without_labels(["(A) (red)", "(B) (blue)"]), without_labels(["A", "C"])
    (('(red)', '(blue)'), ('A', 'C'))
    """
    matches = [_LABEL.match(option) for option in options]
    letters = [match and (match[1] or match[2] or match[3]).upper() for match in matches]
    if options and letters == list(string.ascii_uppercase[: len(options)]):
        return tuple(o[m.end() :].strip() for o, m in zip(options, matches, strict=True) if m)
    return tuple(options)


def letter_index(text: str) -> int:
    """Which option a label such as "B", "(b)" or "B." names, from 0.

    Raises:
        ValueError: It is no letter.
    """
    match = _LETTER.fullmatch(text)
    if match is None:
        raise ValueError(f"must be an option's letter, got {text!r:.40}")
    return string.ascii_uppercase.index(match[1].upper())
