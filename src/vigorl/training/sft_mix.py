"""Supervised learning inside the steps of a policy gradient: in each optimizer batch

    loss = (1 - mu) policy gradient + mu mean of phi(p) (-log p)

the mean over all tokens of the batch's worked solutions, phi = 1 or p (1 - p), detached, which
leaves alone what is known (p near 1) and what is out of reach (p near 0).

    phase -> solutions of training questions, encoded -> a share of each micro-batch -> loss

Solutions are scored at temperature 1, whatever rollouts are sampled at. (1 - mu) is of all that the
policy gradient pays, its KL and an entropy bonus too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import TrainingSample
from vigorl.data.answers import Answers
from vigorl.data.encoding import encode_trace
from vigorl.models.losses import LossOutput, MetricSum
from vigorl.ranks import from_all_ranks
from vigorl.rollout.environment import Environment
from vigorl.training.buffer import MicroBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTMix:
    """What is mixed in, and how much of it.

    Attributes:
        answers: Solutions of the training questions, under the run's own prompt.
        sequences_per_update: Solutions in an optimizer batch, over all ranks and micro-batches.
        peak: mu after the warm-up, in [0, 1].
        valley: mu at the end, in [0, peak].
        warmup_frac: Share of the run's updates in which mu rises from 0 to `peak`, linearly.
        decay_frac: Share of them, after the warm-up, in which it falls to `valley`, along a cosine.
        is_weighted: phi = p (1 - p) in place of 1.
    Raises:
        ConfigError: A setting out of its range.
    Source: CHORD, arXiv:2508.11408, mu and phi as in ms-swift's; the cosine from memory of it.
    """

    answers: Answers
    sequences_per_update: int
    peak: float
    valley: float
    warmup_frac: float = 0.0
    decay_frac: float = 0.0
    is_weighted: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.valley <= self.peak <= 1:
            raise ConfigError(
                f"need 0 <= sft_mix.valley <= sft_mix.peak <= 1, got {self.valley} and {self.peak}"
            )
        if self.warmup_frac < 0 or self.decay_frac < 0 or self.warmup_frac + self.decay_frac > 1:
            raise ConfigError(
                "sft_mix.warmup_frac and sft_mix.decay_frac must be shares with a sum up to 1, "
                f"got {self.warmup_frac} and {self.decay_frac}"
            )
        if self.sequences_per_update < 1:
            raise ConfigError(
                f"sft_mix.sequences_per_update must be at least 1, got {self.sequences_per_update}"
            )

    def mu(self, done: float) -> float:
        """At a share of the run's updates in [0, 1]."""
        if done < self.warmup_frac:
            return self.peak * done / self.warmup_frac
        fallen = min((done - self.warmup_frac) / self.decay_frac, 1.0) if self.decay_frac else 1.0
        return self.valley + (self.peak - self.valley) * (1 + math.cos(math.pi * fallen)) / 2

    def check(self, *, accumulate: int, num_ranks: int) -> None:
        """Raises ConfigError where solutions do not divide over the micro-batches of an update."""
        if self.sequences_per_update % (accumulate * num_ranks):
            raise ConfigError(
                f"sft_mix.sequences_per_update={self.sequences_per_update} must be a multiple of "
                f"{num_ranks} ranks x {accumulate} micro-batches per update"
            )

    def beside(
        self,
        micro_batches: Sequence[MicroBatch],
        tasks: Sequence[TaskRecord],
        *,
        environment: Environment,
        accumulate: int,
        order: str,
        rank: int,
        num_ranks: int,
    ) -> list[MicroBatch]:
        """The micro-batches of a phase on this rank with solutions beside; all ranks call it.

        Args:
            micro_batches: In order, `accumulate` for each update.
            tasks: Whose solutions are drawn, without repeats in an update while there are enough.
            environment: Encodes them.
            accumulate: See there.
            order: Seed of the draw, the phase in it.
            rank: This rank's number, from 0.
            num_ranks: How many share an optimizer batch.
        """
        self.check(accumulate=accumulate, num_ranks=num_ranks)
        size = self.sequences_per_update // num_ranks
        found: list[MicroBatch] = []
        for first in range(0, len(micro_batches), accumulate):
            rng = random.Random(f"{order}/sft_mix/{first // accumulate}")
            drawn = _draw(rng, len(tasks), self.sequences_per_update)[rank::num_ranks]
            own = [self._encode(tasks[i], environment) for i in drawn]
            num_tokens = sum(from_all_ranks(sum(sum(one.loss_mask) for one in own)))
            own = [replace(one, token_weight=1.0 / max(num_tokens, 1)) for one in own]
            for i, one in enumerate(micro_batches[first : first + accumulate]):
                part = own[i * size // accumulate : (i + 1) * size // accumulate]
                found.append(replace(one, solutions=part))
        return found

    def _encode(self, task: TaskRecord, environment: Environment) -> TrainingSample:
        return encode_trace(
            self.answers.of(task),
            prompt=environment.prompt,
            codec=environment.codec,
            images=environment.images,
            tools=environment.tools,
            max_calls=environment.limits.max_calls_per_turn,
        )


def mixed_loss(
    output: LossOutput,
    logprobs: Float[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    token_weight: Float[Tensor, " batch"],
    *,
    mu: float,
    is_weighted: bool,
) -> LossOutput:
    """A policy gradient's share of an update's loss with that of the solutions beside it.

    Args:
        output: Of the policy gradient.
        logprobs: Of the solutions' tokens, nats.
        loss_mask: 1 on the tokens to learn from.
        token_weight: 1 / the solutions' tokens in the whole optimizer batch.
        mu: In [0, 1].
        is_weighted: phi = p (1 - p).
    """
    mask = loss_mask.bool()
    nll = torch.where(mask, -logprobs, 0.0)
    probs = (-nll.detach()).exp()
    phi = probs * (1 - probs) if is_weighted else torch.ones_like(probs)
    of_solutions = (phi * nll * token_weight[:, None]).sum()
    return replace(
        output,
        loss=(1 - mu) * output.loss + mu * of_solutions,
        metrics={**output.metrics, "train/solution_nll": MetricSum(nll.detach().sum(), mask.sum())},
        maxima={**output.maxima, "train/mu": torch.tensor(mu)},
    )


def _draw(rng: random.Random, num: int, count: int) -> list[int]:
    whole, rest = divmod(count, num)
    return [i for _ in range(whole) for i in rng.sample(range(num), num)] + rng.sample(
        range(num), rest
    )
