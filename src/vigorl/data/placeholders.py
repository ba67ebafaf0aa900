"""Ids with one placeholder per picture, and with as many as the picture has tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")


def expand_image_pads(
    ids: Sequence[int], token_counts: Sequence[int], *, image_id: int
) -> list[int]:
    """Each picture's one placeholder repeated as often as the picture has tokens.

    Args:
        ids: One placeholder per picture.
        token_counts: Tokens of each picture, in order, each at least 1.
        image_id: The placeholder.
    Raises:
        ValueError: Not as many placeholders as pictures.

    >>> expand_image_pads([7, 0, 8, 0], [2, 3], image_id=0)
    [7, 0, 0, 8, 0, 0, 0]
    """
    return expand_parallel(ids, ids, token_counts, image_id=image_id, fill=image_id)


def expand_parallel(
    ids: Sequence[int],
    values: Sequence[Value],
    token_counts: Sequence[int],
    *,
    image_id: int,
    fill: Value,
) -> list[Value]:
    """What belongs to each token (mask, logprobs), stretched as `expand_image_pads` stretches the
    ids; `fill` on pictures.

    Raises:
        ValueError: Not as many placeholders as pictures, or not as many values as ids.
    """
    num_slots = sum(token == image_id for token in ids)
    if num_slots != len(token_counts):
        raise ValueError(
            f"{num_slots} image placeholders in the ids, but {len(token_counts)} pictures"
        )
    counts = iter(token_counts)
    expanded: list[Value] = []
    for token, value in zip(ids, values, strict=True):
        expanded += [fill] * next(counts) if token == image_id else [value]
    return expanded
