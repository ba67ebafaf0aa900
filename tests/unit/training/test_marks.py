"""Marks are of the whole update: no cut, no rank and no padding changes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from vigorl import ranks
from vigorl.core.rollout import TrainingSample
from vigorl.training import marks
from vigorl.training.marks import StartValues, UpdateTokens, mark_update, marker_of

LENGTHS = [3, 1, 0, 4]
SAMPLES = [TrainingSample((7, i), (0, 1), ()) for i in range(4)]
VALUES = torch.arange(20.0).reshape(4, 5)


class Ranks:
    """Says of each token how many of the update have a lower entropy, and one drawn at random."""

    needs_marks = True

    def __init__(self) -> None:
        self.given: list[UpdateTokens] = []

    def marks(self, tokens: UpdateTokens) -> Tensor:
        self.given.append(tokens)
        noise = torch.Generator().manual_seed(tokens.seed)
        drawn = torch.randint(100, tokens.entropy.shape, generator=noise)
        return (tokens.entropy[:, None] > tokens.entropy).sum(-1) + 100.0 * drawn


def part(*rows: int, padding: int = 0) -> StartValues:
    """Rows of the update; their tokens stand at the end, after `padding` more places."""
    length = 5 + padding
    mask = torch.stack([torch.arange(length) >= length - LENGTHS[i] for i in rows])
    values = torch.stack([torch.cat([torch.full((padding,), 9.0), VALUES[i]]) for i in rows])
    signals = {"seen": -values}
    return StartValues([SAMPLES[i] for i in rows], mask, values, values, 2 * values, signals)


def found(*parts: StartValues) -> dict[int, list[float]]:
    """Marks of the tokens of each sequence."""
    of_parts = mark_update(parts, Ranks())
    return {
        sample.token_ids[1]: values[mask].tolist()
        for one, of_one in zip(parts, of_parts, strict=True)
        for sample, values, mask in zip(one.samples, of_one, one.mask, strict=True)
    }


WHOLE = part(0, 1, 2, 3)


def test_tokens_come_flat_and_marks_go_back_to_their_places() -> None:
    asked = Ranks()
    (of_part,) = mark_update([WHOLE], asked)
    (tokens,) = asked.given
    assert sorted(tokens.entropy.tolist()) == [2.0, 3.0, 4.0, 9.0, 16.0, 17.0, 18.0, 19.0]
    assert torch.equal(tokens.signals["seen"], -tokens.old_logprobs)
    assert torch.equal(tokens.advantages, 2 * tokens.old_logprobs)
    means = {round(one, 3) for one in tokens.sequence_means(tokens.entropy).tolist()}
    assert means == {3.0, 9.0, 17.5}  # a sequence without tokens has none
    assert (of_part % 100).tolist() == [
        [0, 0, 0, 1, 2], [0, 0, 0, 0, 3], [0] * 5, [0, 4, 5, 6, 7]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "parts",
    [
        [part(0), part(1), part(2), part(3)],
        [part(3, 1), part(2, 0)],
        [part(1, 3, padding=4), part(0, 2)],
    ],
)
def test_no_cut_order_or_padding_changes_a_mark(parts: list[StartValues]) -> None:
    assert found(*parts) == found(WHOLE)


@pytest.mark.parametrize("rank", [0, 1])
def test_two_ranks_mark_as_one(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    halves = [[part(3, 0)], [part(2), part(1)]]

    def gather(into: list[Any], own: Any) -> None:
        other = [row for one in halves[1 - rank] for row in marks._rows(one)]
        into[:] = [own, other] if rank == 0 else [other, own]

    alone = found(WHOLE)
    monkeypatch.setattr(ranks, "num_ranks", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    own = found(*halves[rank])
    assert own == {number: alone[number] for number in own}


def test_an_update_without_a_token_is_not_asked_about() -> None:
    asked = Ranks()
    (of_part,) = mark_update([part(2)], asked)
    assert not of_part.any()
    assert not asked.given


def test_only_who_needs_marks_is_asked() -> None:
    class Idle(Ranks):
        needs_marks = False

    assert marker_of(Idle()) is None
    assert marker_of(object()) is None
    assert marker_of(asked := Ranks()) is asked
