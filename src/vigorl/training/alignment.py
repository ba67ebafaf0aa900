"""Whether the engine that samples and the policy that learns are the same model, on the same input.

A phase's rollouts are replayed through the trainer before it learns from them:

    engine.read(rollout)   == the batch: expanded ids, tokens of each picture, M-RoPE positions
    sampling_logprobs      ~= the policy's logprobs of the same tokens

With `top_p` below 1 the engine speaks of the tokens that were left, whose shares have grown by up
to 1 / top_p; so much more likely than in the trainer a token may be.

What disagrees stops the run, with the rollout and the first token at which it does. This is how
stale weights, stale picture features, a dropped or doubly expanded picture and a shifted mask are
told from learning. The gap that is left by arithmetic (another kernel, bfloat16) is what
`models.correction` is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, starmap
from operator import gt

import torch
from torch import Tensor

from vigorl.core.errors import AlignmentError, ConfigError
from vigorl.core.protocols import Engine, GenerationRequest, ReadingEngine, SamplingParams
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.data.collate import TrainingBatch
from vigorl.ranks import from_all_ranks
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.policy_gradient_module import PolicyGradientModule


def check_masks(rollouts: Sequence[Rollout], samples: Sequence[TrainingSample]) -> None:
    """Refuse samples that would learn a token that their rollout did not sample, on any rank.

    Args:
        rollouts: Of this rank.
        samples: What is learned from each, in order.
    Raises:
        AlignmentError: On every rank; names the rollout and the token.
    """
    fault = None
    for rollout, sample in zip(rollouts, samples, strict=True):
        pairs = zip(sample.loss_mask, rollout.loss_mask, strict=True)
        strays = list(starmap(gt, pairs))  # in C: it is every token of a phase
        if fault is None and any(strays):
            at = strays.index(True)
            fault = f"{_name(rollout)}: token {at} would be learned, and was not sampled"
    for one in from_all_ranks(fault):
        if one is not None:
            raise AlignmentError(f"{one}. Nothing was learned from this phase")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentCheck:
    """When to look, and how much may differ.

    Attributes:
        num_rollouts: Replayed per rank and time, those with most pictures first.
        every: Phases from one time to the next; the first phase is always one.
        max_mean_gap: Nats: mean |engine - trainer| over one rollout's sampled tokens.
        max_gap: Nats: largest over a single token; None leaves it out (bfloat16 has outliers).
    """

    num_rollouts: int
    every: int
    max_mean_gap: float
    max_gap: float | None = None

    def __post_init__(self) -> None:
        if self.num_rollouts < 1 or self.every < 1:
            raise ConfigError("alignment.num_rollouts and alignment.every must be at least 1")

    def is_due(self, phase: int) -> bool:
        return phase % self.every == 0

    def __call__(
        self,
        rollouts: Sequence[Rollout],
        samples: Sequence[TrainingSample],
        *,
        engine: Engine,
        module: PolicyGradientModule,
        datamodule: GroundedTraceDataModule,
    ) -> Gaps:
        """Replay some rollouts; all ranks call it together.

        Args:
            rollouts: Sampled by the weights that `module` has now.
            samples: What was sampled of each, in the same order.
            engine: Where it can show how it reads a prompt, ids and positions are compared too.
            module: The policy, with its features, mask and temperature.
            datamodule: Makes the batch as in training.
        Raises:
            AlignmentError: On every rank, if any of them found a difference; names the rollout, the
                turn and the token.
        """
        chosen = sorted(
            (i for i, sample in enumerate(samples) if any(sample.loss_mask)),
            key=lambda i: (-len(samples[i].views), i),
        )[: self.num_rollouts]
        # every rank runs the same number of forward passes, found something or not
        picked = chosen or [0]
        batch = datamodule.collate([samples[i] for i in picked]).to(module.device)
        logprobs = module.start_logprobs(batch)
        fault, gaps = None, Gaps(0.0, 0, 0.0)
        for row, i in enumerate(chosen):
            fault = fault or self._misreading(rollouts[i], batch, row, engine, module)
        differences = _differences(batch, logprobs, top_p=datamodule.environment.top_p)
        for row, i in enumerate(chosen):
            found = _gaps(batch, differences, row)
            fault = fault or self._too_far(rollouts[i], batch, logprobs, differences, row)
            gaps = gaps.joined(found)
        _raise_together(fault)
        return gaps

    def _misreading(
        self,
        rollout: Rollout,
        batch: TrainingBatch,
        row: int,
        engine: Engine,
        module: PolicyGradientModule,
    ) -> str | None:
        if not isinstance(engine, ReadingEngine):
            return None
        reading = engine.read(_as_prompt(rollout))
        is_token = batch.attention_mask[row].bool()
        own_ids = batch.input_ids[row][is_token][:-1].tolist()
        counts = _image_tokens(own_ids, module.policy.image_token_id)
        if counts != reading.image_tokens:
            return (
                f"{_name(rollout)}: the engine reads pictures of {reading.image_tokens} tokens, "
                f"the trainer of {counts}"
            )
        at = _first_difference(own_ids, reading.token_ids)
        if at is not None:
            return (
                f"{_name(rollout)}: the engine reads {len(reading.token_ids)} tokens, the trainer "
                f"{len(own_ids)}; the first that differs is number {at}"
            )
        own_positions = module.policy.positions(batch)[:, row][:, is_token][:, :-1].tolist()
        for axis, own, theirs in zip("thw", own_positions, reading.positions, strict=True):
            at = _first_difference(own, theirs)
            if at is not None:
                return (
                    f"{_name(rollout)}: M-RoPE positions ({axis}) differ from token {at} on: "
                    f"{theirs[at : at + 4]} in the engine, {own[at : at + 4]} in the trainer"
                )
        return None

    def _too_far(
        self,
        rollout: Rollout,
        batch: TrainingBatch,
        logprobs: Tensor,
        differences: Tensor,
        row: int,
    ) -> str | None:
        gaps = _gaps(batch, differences, row)
        is_close = gaps.mean <= self.max_mean_gap
        if is_close and (self.max_gap is None or gaps.largest <= self.max_gap):
            return None
        assert batch.sampling_logprobs is not None
        columns = batch.loss_mask[row].nonzero()[:, 0]
        theirs, own = batch.sampling_logprobs[row, columns], logprobs[row, columns]
        far = differences[row, columns] > max(self.max_gap or 0.0, self.max_mean_gap)
        first = int(far.nonzero()[0, 0]) if bool(far.any()) else 0
        turn, token = _where(rollout, first)
        num_pictures = len(rollout.prompt_views) + sum(
            len(one.views) for one in rollout.turns[: turn - 1]
        )
        return (
            f"{_name(rollout)}: |engine - trainer| is {gaps.mean:.3g} nats per token, "
            f"{gaps.largest:.3g} at most (allowed: {self.max_mean_gap:g} and {self.max_gap}). They "
            f"part at turn {turn}, token {token} (id {int(batch.input_ids[row, columns[first]])}), "
            f"after {num_pictures} picture(s): {float(theirs[first]):.4f} in the engine, "
            f"{float(own[first]):.4f} in the trainer"
        )


@dataclass(frozen=True, slots=True)
class Gaps:
    """|engine - trainer| in nats: their sum, over how many tokens, and the largest."""

    total: float
    num_tokens: int
    largest: float

    @property
    def mean(self) -> float:
        return self.total / max(self.num_tokens, 1)

    def joined(self, other: Gaps) -> Gaps:
        return Gaps(
            self.total + other.total,
            self.num_tokens + other.num_tokens,
            max(self.largest, other.largest),
        )


def _differences(batch: TrainingBatch, logprobs: Tensor, *, top_p: float) -> Tensor:
    """[batch, tokens] |engine - trainer| in nats, beyond what the cut of `top_p` can explain."""
    if batch.sampling_logprobs is None:
        raise AlignmentError("the samples carry no sampling logprobs: nothing to compare with")
    difference = batch.sampling_logprobs - logprobs
    return torch.maximum(difference + math.log(top_p), -difference).clamp(min=0.0)


def _gaps(batch: TrainingBatch, differences: Tensor, row: int) -> Gaps:
    mask = batch.loss_mask[row]
    gap = differences[row][mask]
    return Gaps(float(gap.sum()), int(mask.sum()), float(gap.max()))


def _as_prompt(rollout: Rollout) -> GenerationRequest:
    """All of a rollout but its last token, which is never read."""
    return GenerationRequest(
        id=f"{rollout.group}/{rollout.index}/read",
        prompt_ids=rollout.token_ids[:-1],
        views=rollout.views,
        sampling=SamplingParams(max_new_tokens=1),
        seed=0,
    )


def _name(rollout: Rollout) -> str:
    return f"rollout {rollout.group}/{rollout.index} (weights of step {rollout.policy_version})"


def _where(rollout: Rollout, sampled: int) -> tuple[int, int]:
    """Turn and token, from 1, of the rollout's `sampled`-th sampled token, from 0."""
    for number, turn in enumerate(rollout.turns, start=1):
        if sampled < len(turn.completion_ids):
            return number, sampled + 1
        sampled -= len(turn.completion_ids)
    return len(rollout.turns), len(rollout.turns[-1].completion_ids)


def _image_tokens(ids: Sequence[int], image_id: int) -> tuple[int, ...]:
    """Lengths of the runs of placeholders; between two pictures there are always other tokens."""
    return tuple(len(list(run)) for token, run in groupby(ids) if token == image_id)


def _first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    if list(left) == list(right):
        return None
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def _raise_together(fault: str | None) -> None:
    for one in from_all_ranks(fault):
        if one is not None:
            raise AlignmentError(
                f"engine and trainer disagree: {one}. Nothing was learned from this phase. 16-bit "
                "arithmetic needs more room: alignment.max_mean_gap, alignment.max_gap"
            )
