"""What a policy gradient's step measures of its tokens, and weighs them by: their entropy by kind,
and how far the engine that sampled them is from the trainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.data.token_kinds import TokenKinds
from vigorl.models.correction import (
    ImportanceCorrection,
    importance_weights,
    sampling_gap_metrics,
)
from vigorl.training.step_metrics import StepMetrics


def add_entropy(
    metrics: StepMetrics, batch: TrainingBatch, entropy: Tensor, kinds: TokenKinds | None
) -> None:
    """Count it by kind of token, and at the first token of each turn.

    Args:
        metrics: Of the step.
        batch: Whose tokens.
        entropy: [batch, tokens] nats, without gradient.
        kinds: Tells tokens apart; None counts the first ones of turns alone.
    """
    mask = batch.loss_mask.bool()
    for name, values in _entropy_by_kind(batch, mask, entropy, kinds):
        metrics.add_sums({f"train/entropy_{name}": (values.sum(), values.numel())})


def _entropy_by_kind(
    batch: TrainingBatch, mask: Tensor, entropy: Tensor, token_kinds: TokenKinds | None
) -> Iterator[tuple[str, Tensor]]:
    before = torch.nn.functional.pad(mask, (1, 0))[:, :-1]
    yield "turn_start", entropy[mask & ~before]
    if token_kinds is None:
        return
    nats = entropy[mask].tolist()  # row after row
    kinds = [kind for ids in _sampled_turns(batch.input_ids, mask) for kind in token_kinds(ids)]
    for kind in set(kinds):
        of_kind = [value for value, one in zip(nats, kinds, strict=True) if one is kind]
        yield kind, torch.tensor(of_kind)


def _sampled_turns(input_ids: Tensor, mask: Tensor) -> list[list[int]]:
    """The ids of each run of masked tokens, row after row."""
    turns: list[list[int]] = []
    for ids, row in zip(input_ids.tolist(), mask.tolist(), strict=True):
        for is_sampled, run in groupby(zip(row, ids, strict=True), key=itemgetter(0)):
            if is_sampled:
                turns.append([token for _, token in run])
    return turns


def add_gap(metrics: StepMetrics, batch: TrainingBatch, old: Tensor) -> None:
    """Count how far engine and trainer disagree, corrected or not.

    Args:
        metrics: Of the step.
        batch: Whose tokens.
        old: [batch, tokens] the trainer's logprobs of the phase's start, nats.
    """
    if batch.sampling_logprobs is not None:
        sums, maxima = sampling_gap_metrics(old, batch.sampling_logprobs, _sampled(batch))
        metrics.add_sums(sums)
        metrics.add_maxima(maxima)


def correcting_weights(
    metrics: StepMetrics,
    batch: TrainingBatch,
    old: Tensor,
    correction: ImportanceCorrection | None,
) -> Tensor | None:
    """[batch, tokens] importance weights, None without correction; counts what the caps changed and
    what is left of the sample.

    Args:
        metrics: Of the step.
        batch: Whose tokens.
        old: As of `add_gap`.
        correction: With its caps.
    Raises:
        ConfigError: The engine has not said how likely its tokens were.
    """
    if correction is None:
        return None
    if batch.sampling_logprobs is None:
        raise ConfigError(
            "module.importance_correction needs an engine that says how likely its tokens were"
        )
    sampled = _sampled(batch)
    weights, is_capped = importance_weights(
        old, batch.sampling_logprobs, sampled, correction=correction
    )
    metrics.add_sums({"sampling_ratio/corrected_frac": (is_capped.sum(), sampled.sum())})
    metrics.add_weights({"sampling_ratio/ess_frac": weights[sampled]})
    return weights


def with_guests(batch: TrainingBatch, old: Tensor) -> TrainingBatch:
    """With the old logprobs of guests in place of those that no engine has said."""
    if batch.is_guest is None or batch.sampling_logprobs is None:
        return batch
    sampled = torch.where(batch.is_guest[:, None], old, batch.sampling_logprobs)
    return replace(batch, sampling_logprobs=sampled)


def _sampled(batch: TrainingBatch) -> Tensor:
    """[batch, tokens] the tokens to learn from that an engine sampled: all but those of guests."""
    mask = batch.loss_mask.bool()
    return mask if batch.is_guest is None else mask & ~batch.is_guest[:, None]
