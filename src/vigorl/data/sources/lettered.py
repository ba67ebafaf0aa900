"""Options that stand in a text behind their letters: "(A) red", "A. red" or "A: red", one per line,
or one behind the other ("A. red; B. blue").
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from vigorl.data.sources.rows import Row

_OPENING = re.compile(r"\s*(?:[(（]([A-Z])[)）]|([A-Z])\s*[.:)．：、])\s*(.*)")


def split_lines(row: Row, text: str, *, key: str) -> tuple[str, ...]:
    """The options of a text that has one per line, from A on in order.

    A line without a letter goes on with the option above it.

    Raises:
        DataError: The first line opens no option A, or a letter is out of order.
    """
    options: list[str] = []
    for line in text.strip().split("\n"):
        match, due = _OPENING.match(line), _due(options)
        letter = match and (match[1] or match[2])
        if match and letter == due:
            options.append(match[3].strip())
        elif options and letter is None:
            options[-1] = f"{options[-1]}\n{line.strip()}"
        else:
            row.fail(f'"{key}": option {due} was due, got {line!r:.60}')
    return tuple(options)


def split_line(row: Row, text: str, *, key: str) -> tuple[str, ...]:
    """The options of "A. red; B. blue": each from its letter to the next one's, in order.

    A letter stands behind a semicolon or at a line's start; where a later one does and it does not
    ("A. 4 B. 3; C. 2"), behind a blank.

    Raises:
        DataError: There are not at least two.
    """
    starts: list[tuple[int, int]] = []
    for letter in string.ascii_uppercase[:-1]:
        begin = starts[-1][1] if starts else 0
        later = rf"[{chr(ord(letter) + 1)}-Z]"
        match = _letter(text, letter, begin)
        if match is None and _letter(text, later, begin):
            match = _letter(text, letter, begin, before=r"\s")
        if match is None:
            break
        starts.append(match.span())
    if len(starts) < 2:
        row.fail(f'"{key}" must be options such as "A. red; B. blue", got {text!r:.80}')
    ends = [begin for begin, _ in starts[1:]] + [len(text)]
    return tuple(
        text[begin:end].strip(" ;；\n") for (_, begin), end in zip(starts, ends, strict=True)
    )


def answer_of(row: Row, letter: str, options: Sequence[str], *, key: str) -> str:
    """The text of the option that "B" or "(B)" names.

    Raises:
        DataError: It is the letter of none of them.
    """
    index = string.ascii_uppercase.find(letter.strip().strip("()（）.").strip() or "?")
    if not 0 <= index < len(options):
        row.fail(f'"{key}" must be the letter of one of {len(options)} options, got {letter!r:.40}')
    return options[index]


def distinct(row: Row, options: Sequence[str]) -> tuple[str, ...]:
    """The options without those that stand there again (some real rows have two equal wrong ones);
    noted, since the letters behind move up.
    """
    kept = tuple(dict.fromkeys(options))
    if len(kept) < len(options):
        row.notes["rows list an option twice; the second is left out"] += 1
    return kept


def _letter(
    text: str, letter: str, begin: int, *, before: str = r"(?:^|[;；\n])\s*"
) -> re.Match[str] | None:
    return re.compile(rf"{before}\(?{letter}\s*[.):．：、]\s*").search(text, begin)


def _due(options: Sequence[str]) -> str:
    return string.ascii_uppercase[len(options) : len(options) + 1] or "none"
