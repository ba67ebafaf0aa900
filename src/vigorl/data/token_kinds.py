"""What kind of text a sampled token writes: a coordinate, a word, or the form around them.

    <think> The disc at (50, 20). </think>      tags words coordinates words tags
    {"name": ..., "coordinate": [50, 20]}       tags coordinates tags

Their entropies differ by an order of magnitude and mean different things, so `train/entropy` is
logged for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, pairwise

from vigorl.core.trace import POINT_PATTERN
from vigorl.data.encoding import ChatCodec


class TokenKind(StrEnum):
    """Each sampled token is of one kind; one that spans two is of the first in this order."""

    COORDINATES = "coordinates"  # numbers of points in thoughts and answers, and of a call
    TAGS = "tags"  # the grammar's tags, the JSON of a call without its numbers, the end of a turn
    WORDS = "words"  # everything else that is said, the answer included


_TAG = re.compile(r"</?(?:think|tool_call|observation|answer)>")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class TokenKinds:
    """Reads the kinds of the tokens of a turn.

    Args:
        codec: Knows what tokens say.
    """

    def __init__(self, codec: ChatCodec) -> None:
        # piece by piece, so that each token's place in the text is known; the pieces of a character
        # of several bytes are then no character, but those of the grammar are of one byte
        self._piece = lru_cache(maxsize=None)(lambda token: codec.decode_raw([token]))
        self._call = codec.call_pattern

    def __call__(self, token_ids: Sequence[int]) -> list[TokenKind]:
        """One kind per token of a turn's sampled tokens."""
        pieces = [self._piece(token) for token in token_ids]
        kinds = _kinds_of_characters("".join(pieces), self._call)
        ends = list(accumulate(map(len, pieces), initial=0))
        return [
            min(kinds[a:b], key=_ORDER.index, default=TokenKind.TAGS)  # the end token says nothing
            for a, b in pairwise(ends)
        ]


_ORDER = list(TokenKind)


def _kinds_of_characters(text: str, call_pattern: re.Pattern[str]) -> list[TokenKind]:
    kinds = [TokenKind.WORDS] * len(text)
    for call in call_pattern.finditer(text):
        _mark(kinds, call.span(), TokenKind.TAGS)
        for number in _NUMBER.finditer(text, *call.span()):
            _mark(kinds, number.span(), TokenKind.COORDINATES)
    for tag in _TAG.finditer(text):
        _mark(kinds, tag.span(), TokenKind.TAGS)
    for point in POINT_PATTERN.finditer(text):
        for group in (1, 2):
            _mark(kinds, point.span(group), TokenKind.COORDINATES)
    return kinds


def _mark(kinds: list[TokenKind], span: tuple[int, int], kind: TokenKind) -> None:
    kinds[span[0] : span[1]] = [kind] * (span[1] - span[0])
