"""What a phase is filled with and the training loop reads: the micro-batches of one phase, on one
rank.

Lightning asks for the length before the first rollout exists, so the length is planned, not
measured (a live length of 0 ends `fit` at once, an unknown one makes it prefetch before the phase
has been filled). A micro-batch becomes tensors when the loop asks for it, and Lightning brings them
to the device: of a phase's pictures, only one micro-batch's pixels are there at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import TrainingBatch

Collate = Callable[[Sequence[TrainingSample]], TrainingBatch]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Samples of one forward pass, and what was read of them at the phase's start.

    Attributes:
        samples: At least one.
        old_logprobs: [batch, tokens] nats under the weights of the start, on the CPU; None where
            the step's own are the same, or the algorithm needs none.
        ref_logprobs: The same under the reference; None where the algorithm needs none.
        changed_logprobs: The same under the changed pictures of token signals, by signal.
        marks: [batch, tokens] of the whole update, on the CPU; see `training.marks`.
        changed: The samples with changed pictures, by signal, where the step itself reads them.
        solutions: Learned beside them, supervised; see `training.sft_mix`.
    """

    samples: Sequence[TrainingSample]
    old_logprobs: Tensor | None = None
    ref_logprobs: Tensor | None = None
    changed_logprobs: Mapping[str, Tensor] = field(default_factory=dict)
    marks: Tensor | None = None
    changed: Mapping[str, Sequence[TrainingSample]] = field(default_factory=dict)
    solutions: Sequence[TrainingSample] = ()


@dataclass(frozen=True, slots=True)
class PolicyBatch:
    """A `MicroBatch` as tensors.

    Attributes:
        batch: Tokens, masks, pictures, advantages.
        old_logprobs: [batch, tokens], as in `MicroBatch`.
        ref_logprobs: [batch, tokens], as in `MicroBatch`.
        changed_logprobs: [batch, tokens] by signal, as in `MicroBatch`.
        marks: [batch, tokens], as in `MicroBatch`.
        changed: The samples under the changed pictures of a signal, as in `MicroBatch`.
        solutions: As in `MicroBatch`; None where there are none.
    """

    batch: TrainingBatch
    old_logprobs: Tensor | None = None
    ref_logprobs: Tensor | None = None
    changed_logprobs: Mapping[str, Tensor] = field(default_factory=dict)
    marks: Tensor | None = None
    changed: Mapping[str, TrainingBatch] = field(default_factory=dict)
    solutions: TrainingBatch | None = None

    def to(self, device: torch.device | str) -> PolicyBatch:
        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        return PolicyBatch(
            self.batch.to(device),
            moved(self.old_logprobs),
            moved(self.ref_logprobs),
            {name: one.to(device) for name, one in self.changed_logprobs.items()},
            moved(self.marks),
            {name: one.to(device) for name, one in self.changed.items()},
            None if self.solutions is None else self.solutions.to(device),
        )


@dataclass(frozen=True, slots=True)
class Spare:
    """Stands where an update of a planned number of micro-batches needs fewer: no computation."""

    def to(self, device: torch.device | str) -> Spare:
        return self


SPARE = Spare()


def with_spares(
    batches: Sequence[Value], per_update: Sequence[int], *, places: int
) -> list[Value | Spare]:
    """A phase in which each update has as many micro-batches as planned.

    Spare ones stand behind an update's first: gradients are opened by the first one and brought
    together by the last, under every strategy, and both are there then.

    Args:
        batches: In order.
        per_update: How many are of each update.
        places: What each update is planned for.
    """
    found: list[Value | Spare] = []
    for a, b in pairwise(accumulate(per_update, initial=0)):
        found += [*batches[a : a + 1], *[SPARE] * (places - (b - a)), *batches[a + 1 : b]]
    return found


class Interleaved(Dataset[Value]):
    """Data sets of one length, an item of each in turn: the micro-batches of ranks that read them
    together.

    Args:
        parts: At least one.
    """

    def __init__(self, parts: Sequence[Dataset[Value]]) -> None:
        self._parts = list(parts)

    def __len__(self) -> int:
        return len(self._parts) * len(self._parts[0])  # pyright: ignore[reportArgumentType]

    def __getitem__(self, index: int) -> Value:
        if index >= len(self):
            raise IndexError(index)
        number, which = divmod(index, len(self._parts))
        return self._parts[which][number]


class RolloutBuffer(Dataset[PolicyBatch | Spare]):
    """Map-style data set over the micro-batches of the current phase.

    Args:
        num_batches: Planned micro-batches per phase on this rank.
        collate: Makes the tensors of a micro-batch.
    """

    def __init__(self, num_batches: int, *, collate: Collate) -> None:
        self.num_batches, self._collate = num_batches, collate
        self._batches: Sequence[MicroBatch | Spare] = ()

    def fill(self, batches: Sequence[MicroBatch | Spare]) -> None:
        """Replace the last phase's micro-batches.

        Raises:
            ValueError: Not the planned number of them.
        """
        if len(batches) != self.num_batches:
            raise ValueError(f"planned {self.num_batches} micro-batches, got {len(batches)}")
        self._batches = tuple(batches)

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> PolicyBatch | Spare:
        if not self._batches:
            raise RuntimeError("the phase was not filled: add callbacks.rollout to the trainer")
        one = self._batches[index]
        if isinstance(one, Spare):
            return one
        return PolicyBatch(
            self._collate(one.samples),
            one.old_logprobs,
            one.ref_logprobs,
            one.changed_logprobs,
            one.marks,
            {name: self._collate(samples) for name, samples in one.changed.items()},
            self._collate(one.solutions) if one.solutions else None,
        )
