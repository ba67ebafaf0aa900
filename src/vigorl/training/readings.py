"""What the policy of a phase's start and the reference think of tokens that were sampled, where
that must be known before the tokens are credited: a KL paid in the reward, a baseline per token.

    rollouts -> read_rollouts -> TokenReadings, per rollout -> Algorithm.credit
                                                            -> phase.read_start, which then runs no
                                                               pass of its own for them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vigorl.core.advantages import Credit
from vigorl.core.rollout import Rollout, ScoredRollout, TrainingSample
from vigorl.training.token_budget import TokenBudget, cut_together

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vigorl.data.collate import TrainingBatch
    from vigorl.training.buffer import Collate


class Reads(IntEnum):
    """How much is read before the credit; each contains the one before."""

    NOTHING = 0
    LOGPROBS = 1  # of the policy; and of the reference where there is one
    SQUARES = 2  # the sum of squared probabilities over the vocabulary too


@dataclass(frozen=True, slots=True)
class TokenReadings:
    """Of one rollout's N sampled tokens, in order.

    Attributes:
        old_logprobs: [N] nats, under the trainer's weights of the phase's start; empty where
            nothing but values is read.
        ref_logprobs: [N] nats, under the reference; empty where there is none.
        squared_probs: [N] sum over the vocabulary of p^2, in (0, 1]; empty where not asked for.
        values: [N] in units of the reward, what the critic expects before each token; empty
            without a critic.
    """

    old_logprobs: tuple[float, ...]
    ref_logprobs: tuple[float, ...] = ()
    squared_probs: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@runtime_checkable
class Crediting(Protocol):
    """An `Algorithm` whose credit may need readings."""

    @property
    def reads(self) -> Reads: ...

    def credit(
        self,
        groups: Sequence[Sequence[ScoredRollout]],
        *,
        readings: Sequence[Sequence[TokenReadings]] | None = None,
    ) -> list[list[Credit]]:
        """As `Algorithm.credit`; the readings, in the layout of `groups`, are there where `reads`
        says so.
        """
        ...


class Reader(Protocol):
    """The module, as far as it is needed here."""

    @property
    def device(self) -> torch.device: ...

    def start_logprobs(self, batch: TrainingBatch) -> Tensor: ...

    def start_squares(self, batch: TrainingBatch, logprobs: Tensor) -> Tensor: ...

    def reference_logprobs(self, batch: TrainingBatch) -> Tensor: ...

    def values(self, batch: TrainingBatch) -> Tensor: ...


def reads_of(algorithm: object) -> Reads:
    """What an algorithm's credit reads; an algorithm of your own need not say."""
    crediting = crediting_of(algorithm)
    return Reads.NOTHING if crediting is None else crediting.reads


def crediting_of(algorithm: object) -> Crediting | None:
    """The algorithm, if its credit may take readings."""
    return algorithm if isinstance(algorithm, Crediting) else None


def sample_of(rollout: Rollout) -> TrainingSample:
    """All that was sampled, before anything is known of its credit."""
    return TrainingSample(
        rollout.token_ids,
        rollout.loss_mask,
        rollout.views,
        rollout.sampling_logprobs,
        is_guest=rollout.is_guest,
    )


def read_rollouts(
    rollouts: Sequence[Rollout],
    *,
    reads: Reads,
    has_reference: bool,
    module: Reader,
    collate: Collate,
    num_tokens: Callable[[TrainingSample], int],
    batch_size: int,
    most_tokens: int | None = None,
    has_critic: bool = False,
) -> list[TokenReadings]:
    """Passes without gradient over every sampled token; all ranks must have equally many rollouts.

    Args:
        rollouts: Of this rank.
        reads: What for, `NOTHING` only with a critic.
        has_reference: Whether the reference is read too.
        module: Runs the passes.
        collate: Makes tensors of samples.
        num_tokens: A sample's length, pictures expanded; neighbours in length share a pass.
        batch_size: Sequences of one pass.
        most_tokens: Of one pass; None counts sequences only.
        has_critic: Whether values are read too.
    """
    samples = [sample_of(one) for one in rollouts]
    found: dict[int, TokenReadings] = {}
    for part in _passes([num_tokens(one) for one in samples], batch_size, most_tokens):
        batch = collate([samples[i] for i in part]).to(module.device)
        passes: dict[str, Tensor] = {}
        if reads:
            passes["old_logprobs"] = module.start_logprobs(batch)
            if has_reference:
                passes["ref_logprobs"] = module.reference_logprobs(batch)
        if reads >= Reads.SQUARES:
            passes["squared_probs"] = module.start_squares(batch, passes["old_logprobs"])
        if has_critic:
            passes["values"] = module.values(batch)
        by_row = {name: _rows(one, batch.loss_mask) for name, one in passes.items()}
        for row, i in enumerate(part):
            read = {name: rows[row] for name, rows in by_row.items()}
            found[i] = TokenReadings(read.pop("old_logprobs", ()), **read)
    return [found[i] for i in range(len(samples))]


def _passes(lengths: Sequence[int], size: int, most_tokens: int | None) -> list[list[int]]:
    """Indices of the sequences of each pass; all ranks have equally many passes."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    if most_tokens is None:
        return [order[first : first + size] for first in range(0, len(order), size)]
    budget = TokenBudget(most_tokens=most_tokens, most_sequences=size)
    return cut_together(lengths, budget=budget, num_needed=len(lengths))


def carried_old(samples: Sequence[TrainingSample], mask: Tensor) -> Tensor | None:
    """[batch, tokens] the start's logprobs that the samples of a micro-batch carry, 0.0 where its
    loss mask is; None where one of them carries none.
    """
    return _carried([sample.old_logprobs for sample in samples], samples, mask)


def carried_ref(samples: Sequence[TrainingSample], mask: Tensor) -> Tensor | None:
    """The same of the reference."""
    return _carried([sample.ref_logprobs for sample in samples], samples, mask)


def _carried(
    carried: Sequence[Sequence[float]], samples: Sequence[TrainingSample], mask: Tensor
) -> Tensor | None:
    import torch

    if not all(carried):
        return None
    found = torch.zeros(mask.shape)
    for row, (values, sample) in enumerate(zip(carried, samples, strict=True)):
        learned = [value for value, m in zip(values, sample.loss_mask, strict=True) if m]
        found[row, mask[row].cpu().bool()] = torch.tensor(learned)
    return found


def _rows(values: Tensor, mask: Tensor) -> list[tuple[float, ...]]:
    values, chosen = values.float().cpu(), mask.cpu().bool()
    return [tuple(row[m].tolist()) for row, m in zip(values, chosen, strict=True)]
