"""Marks: what a loss needs to know of each token that only the whole optimizer batch can say, such
as whether its entropy is among the highest.

    micro-batches of all ranks -> UpdateTokens -> Marking.marks -> LossInputs.marks, by micro-batch

The tokens of an update are put in an order that their sequences alone decide, and so is the seed:
no cut into micro-batches or ranks changes a mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vigorl.core.rollout import TrainingSample
from vigorl.ranks import from_all_ranks, own_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTokens:
    """All tokens that an optimizer batch learns from, sequence after sequence, on the CPU.

    Attributes:
        old_logprobs: Nats, under the weights of the phase's start.
        entropy: Nats, of the same weights at the token.
        advantages: Unitless.
        sequence: Which sequence a token is of, from 0; never falls.
        signals: What token signals say of each token, by name.
        seed: For what is drawn at random; of the sequences alone.
    """

    old_logprobs: Float[Tensor, " tokens"]
    entropy: Float[Tensor, " tokens"]
    advantages: Float[Tensor, " tokens"]
    sequence: Int[Tensor, " tokens"]
    signals: Mapping[str, Float[Tensor, " tokens"]] = field(default_factory=dict)
    seed: int = 0

    def sequence_means(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, " sequences"]:
        """Each sequence's mean; of those that have tokens here."""
        counts = torch.bincount(self.sequence)
        return torch.bincount(self.sequence, weights=values.double()) / counts


@runtime_checkable
class Marking(Protocol):
    """An `Algorithm` whose loss reads `LossInputs.marks`."""

    @property
    def needs_marks(self) -> bool:
        """Whether it does, with its settings. Then the phase's start is always read, and samples
        without an advantage have a forward pass, since they count in what is compared.
        """
        ...

    def marks(self, tokens: UpdateTokens) -> Float[Tensor, " tokens"]:
        """A number for each token, once per update and the same on all ranks; it does not depend on
        the order of the sequences.

        Args:
            tokens: At least one.
        """
        ...


def marker_of(algorithm: object) -> Marking | None:
    """The algorithm, where it needs marks."""
    return algorithm if isinstance(algorithm, Marking) and algorithm.needs_marks else None


class StartValues(NamedTuple):
    """A micro-batch as the weights of the phase's start see it: [batch, tokens], on the CPU."""

    samples: Sequence[TrainingSample]
    mask: Bool[Tensor, "batch tokens"]
    old_logprobs: Float[Tensor, "batch tokens"]
    entropy: Float[Tensor, "batch tokens"]
    advantages: Float[Tensor, "batch tokens"]
    signals: Mapping[str, Float[Tensor, "batch tokens"]]


class _Row(NamedTuple):
    """One sequence: a name of its content, and its loss tokens' values, [3 + signals, n]."""

    name: str
    values: Tensor


def mark_update(parts: Sequence[StartValues], marking: Marking) -> list[Tensor]:
    """The marks of one update's micro-batches; all ranks call it together.

    Args:
        parts: Of this rank, at least one, with the same signals everywhere.
        marking: Says them.
    Returns:
        [batch, tokens] for each part, 0.0 where nothing is learned from.
    """
    of_ranks = from_all_ranks([row for part in parts for row in _rows(part)])
    rows = [row for rank in of_ranks for row in rank]
    order = [i for i in range(len(rows)) if rows[i].values.shape[1]]
    order.sort(key=lambda i: rows[i].name)
    marks = dict(zip(order, _marks([rows[i] for i in order], parts[0], marking), strict=True))
    first = sum(map(len, of_ranks[: own_rank()]))
    own = [marks.get(first + i, torch.zeros(0)) for i in range(len(of_ranks[own_rank()]))]
    return _spread(parts, own)


def _rows(part: StartValues) -> Iterator[_Row]:
    values = torch.stack([part.old_logprobs, part.entropy, part.advantages, *part.signals.values()])
    for i, sample in enumerate(part.samples):
        content = repr((sample.token_ids, sample.sampling_logprobs, sample.advantages))
        name = hashlib.sha256(content.encode()).hexdigest()
        yield _Row(name, values[:, i, part.mask[i]])


def _marks(rows: Sequence[_Row], part: StartValues, marking: Marking) -> Sequence[Tensor]:
    """Of each of these sequences, in order."""
    if not rows:
        return []
    flat = torch.cat([row.values for row in rows], dim=1)
    lengths = [row.values.shape[1] for row in rows]
    names = "".join(row.name for row in rows)
    tokens = UpdateTokens(
        old_logprobs=flat[0],
        entropy=flat[1],
        advantages=flat[2],
        sequence=torch.repeat_interleave(torch.tensor(lengths)),
        signals=dict(zip(part.signals, flat[3:], strict=True)),
        seed=int(hashlib.sha256(names.encode()).hexdigest()[:15], 16),
    )
    return marking.marks(tokens).split(lengths)


def _spread(parts: Sequence[StartValues], own: Sequence[Tensor]) -> list[Tensor]:
    """Marks by sequence, back to where the tokens stand in their micro-batches."""
    found, rest = [], iter(own)
    for part in parts:
        marks = torch.zeros_like(part.old_logprobs)
        for i in range(len(part.samples)):
            marks[i, part.mask[i]] = next(rest).to(marks.dtype)
        found.append(marks)
    return found
