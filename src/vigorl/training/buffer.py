"""What the rollout callback fills and the training loop reads: the micro-batches of one phase, on
one rank.

Lightning asks for the length before the first rollout exists, so the length is planned, not
measured (a live length of 0 ends `fit` at once, an unknown one makes it prefetch before the phase
has been filled).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import TrainingBatch


@dataclass(frozen=True, slots=True)
class PolicyBatch:
    """A micro-batch and what the policy of the phase's start thought of it; all logprobs [batch,
    tokens], nats.

    Attributes:
        batch: Tokens, masks, pictures, advantages.
        old_logprobs: Under the weights that sampled.
        ref_logprobs: Under the reference, or None without KL.
    """

    batch: TrainingBatch
    old_logprobs: Tensor | None = None
    ref_logprobs: Tensor | None = None

    def to(self, device: torch.device | str) -> PolicyBatch:
        old, ref = self.old_logprobs, self.ref_logprobs
        return PolicyBatch(
            self.batch.to(device),
            None if old is None else old.to(device),
            None if ref is None else ref.to(device),
        )


class RolloutBuffer(Dataset[PolicyBatch]):
    """Map-style data set over the micro-batches of the current phase.

    Args:
        num_batches: Planned micro-batches per phase on this rank.
    """

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches
        self._batches: Sequence[PolicyBatch] = ()

    def fill(self, batches: Sequence[PolicyBatch]) -> None:
        """Replace the last phase's micro-batches.

        Raises:
            ValueError: Not the planned number of them.
        """
        if len(batches) != self.num_batches:
            raise ValueError(f"planned {self.num_batches} micro-batches, got {len(batches)}")
        self._batches = tuple(batches)

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> PolicyBatch:
        if not self._batches:
            raise RuntimeError("the phase was not filled: add callbacks.rollout to the trainer")
        return self._batches[index]


def weighted(samples: Sequence[TrainingSample], weights: Sequence[float]) -> list[TrainingSample]:
    """Samples with their token weights set."""
    return [replace(s, token_weight=w) for s, w in zip(samples, weights, strict=True)]


def batch_loader(dataset: Dataset[Any], *, num_workers: int = 0) -> DataLoader[Any]:
    """A loader for data sets whose items are whole batches already, handed on as they are."""
    return DataLoader(dataset, batch_size=None, collate_fn=_as_it_is, num_workers=num_workers)


def _as_it_is(item: Any) -> Any:
    return item
