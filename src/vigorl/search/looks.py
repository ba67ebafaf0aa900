"""Bare thoughts as looks: which words go with which point."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vigorl.core.geometry import Point, Size
from vigorl.core.trace import locate_points

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"'”’)])\s+|\n+")
_STAYS_WITH_POINT = (",", ";", ":")  # when a sentence is cut behind it


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a thought.

    Attributes:
        text: Its words, without white space around them.
        points: Every point it speaks of, in order, with the index at which it can be cut behind it.
    """

    text: str
    points: tuple[tuple[Point, int], ...]


def split_sentences(thought: str) -> tuple[Sentence, ...]:
    """The sentences of a thought; a line break ends one, too."""
    texts = (part.strip() for part in _SENTENCE_END.split(thought))
    return tuple(
        Sentence(
            text,
            tuple(
                (point, end + text.startswith(_STAYS_WITH_POINT, end))
                for point, end in locate_points(text)
            ),
        )
        for text in texts
        if text
    )


def split_looks(
    sentences: Iterable[Sentence], on: Size, max_looks: int
) -> tuple[list[tuple[str, Point]], str]:
    """Sentences as looks, each with the text up to it, and the text after the last.

    A look's text ends with the sentence that holds its point; of several new points in a sentence,
    all but the last cut it behind themselves. A point that was looked at before only adds text. A
    point off the picture is never a look (the filter drops the chain for it).

    Args:
        sentences: In the order in which they are told.
        on: The text frame of the picture.
        max_looks: Points beyond that many only add text.

    >>> split_looks(split_sentences("A disc at (5, 2). Red. So."), on=Size(9, 9), max_looks=5)
    ([('A disc at (5, 2).', Point(x=5, y=2))], 'Red. So.')
    """
    looks: list[tuple[str, Point]] = []
    pending: list[str] = []
    seen: set[Point] = set()
    for sentence in sentences:
        fresh: list[tuple[Point, int]] = []
        for point, cut in sentence.points:
            if point in seen or not point.is_inside(on) or len(looks) + len(fresh) == max_looks:
                continue
            seen.add(point)
            fresh.append((point, cut))
        begin = 0
        for index, (point, cut) in enumerate(fresh):
            end = cut if index < len(fresh) - 1 else len(sentence.text)
            looks.append((" ".join([*pending, sentence.text[begin:end].strip()]), point))
            pending, begin = [], end
        if begin < len(sentence.text):
            pending.append(sentence.text)
    return looks, " ".join(pending)
