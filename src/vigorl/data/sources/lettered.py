"""Options of real rows that `option_texts` alone does not read: all in one line ("A. 1; B. 2"), or
the same text twice; and the right one, as a row names it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from vigorl.data.sources.option_texts import letter_index
from vigorl.data.sources.rows import Row


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
    try:
        return options[letter_index(letter)]
    except (ValueError, IndexError):
        row.fail(f'"{key}" must be the letter of one of {len(options)} options, got {letter!r:.40}')


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
