"""From a phase's finished rollouts to the micro-batches that its updates read.

    rollouts -> scored               rollout.experience.score_rollouts
    scored -> credited               credit_rollouts: each token's advantage, and samples from them
    samples -> optimizer batches     cut_phase: shuffled; every token's weight is fixed, over all
            -> micro-batches             ranks, before a batch is cut
    micro-batches -> with logprobs   read_start: passes without gradient, before the first update

The steps after the score know neither Lightning nor which algorithm runs. SFT shares the weights
(`weigh_update`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from vigorl.core.rollout import ScoredRollout, TrainingSample, group_indices
from vigorl.ranks import from_all_ranks
from vigorl.training.algorithms.protocol import Algorithm
from vigorl.training.buffer import Collate, MicroBatch
from vigorl.training.plan import PhasePlan
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.signals.signal import TokenSignal

Weigh = Callable[[Sequence[int]], list[float]]


class Credited(NamedTuple):
    """Rollouts with their advantages, and what is learned from them, in the same order."""

    scored: list[ScoredRollout]
    samples: list[TrainingSample]


def credit_rollouts(scored: Sequence[ScoredRollout], algorithm: Algorithm) -> Credited:
    """Advantages and samples, one per rollout, in order; never fewer, so that a planned buffer
    length holds.

    Args:
        scored: Whole groups, which may be interleaved.
        algorithm: Credits them.
    Returns:
        Samples with `token_weight` 1.0, which `cut_phase` sets.
    Raises:
        ValueError: Rewards that cannot be compared; names the group.
    """
    groups = group_indices(one.rollout for one in scored)
    credited = algorithm.credit([[scored[i] for i in members] for members in groups])
    with_advantage, samples = list(scored), [TrainingSample((), (), ())] * len(scored)
    for members, credits in zip(groups, credited, strict=True):
        for i, credit in zip(members, credits, strict=True):
            rollout = scored[i].rollout
            with_advantage[i] = replace(scored[i], advantage=credit.mean_advantage(rollout))
            samples[i] = TrainingSample(
                token_ids=rollout.token_ids,
                loss_mask=credit.loss_mask,
                views=rollout.views,
                sampling_logprobs=rollout.sampling_logprobs,
                advantages=tuple(
                    advantage if is_learned else 0.0
                    for advantage, is_learned in zip(
                        credit.advantages, credit.loss_mask, strict=True
                    )
                ),
            )
    return Credited(with_advantage, samples)


@dataclass(frozen=True, slots=True)
class PhaseCut:
    """A phase's micro-batches on one rank.

    Attributes:
        micro_batches: In order; as many for each update.
        num_empty: Updates without a token to learn from on any rank; their gradient is 0.
    """

    micro_batches: list[list[TrainingSample]]
    num_empty: int


def cut_phase(
    samples: Sequence[TrainingSample],
    *,
    plan: PhasePlan,
    algorithm: Algorithm,
    order: str,
    num_tokens: Callable[[TrainingSample], int],
    rank: int,
    num_ranks: int,
) -> PhaseCut:
    """Cut this rank's samples into optimizer batches, and these into micro-batches; all ranks call
    it together.

    Within an optimizer batch samples are sorted by length, so that a micro-batch has little
    padding; the weights are fixed before, so this changes nothing else.

    Args:
        samples: One per rollout of this rank.
        plan: Sizes.
        algorithm: Weighs tokens, and says whether samples without advantage may be left out.
        order: Seed of the shuffling, the phase in it.
        num_tokens: A sample's length, pictures expanded.
        rank: This rank's number, from 0.
        num_ranks: How many share an optimizer batch.
    """
    per_update, num_parts = plan.sequences_per_update // num_ranks, plan.accumulate(num_ranks)
    micro_batches: list[list[TrainingSample]] = []
    num_empty = 0
    for pass_number in range(plan.passes):
        shuffled = list(samples)
        random.Random(f"{order}/{pass_number}").shuffle(shuffled)
        for first in range(0, len(shuffled), per_update):
            update = shuffled[first : first + per_update]
            of_ranks = from_all_ranks(loss_tokens(update))
            num_empty += not any(map(any, of_ranks))
            update = weigh_update(update, algorithm.token_weights, of_ranks=of_ranks, rank=rank)
            update.sort(key=num_tokens)
            if not algorithm.needs_zero_advantages:
                update = _without_zero_gradients(update, at_least=num_parts)
            micro_batches += _cut(update, num_parts)
    return PhaseCut(micro_batches, num_empty)


def loss_tokens(samples: Sequence[TrainingSample]) -> list[int]:
    """How many tokens of each are learned from."""
    return [sum(sample.loss_mask) for sample in samples]


def weigh_update(
    own: Sequence[TrainingSample], weigh: Weigh, *, of_ranks: Sequence[Sequence[int]], rank: int
) -> list[TrainingSample]:
    """Set the token weights of one rank's samples of an optimizer batch.

    Args:
        own: This rank's samples.
        weigh: From the loss tokens of each sequence of the whole batch to the weight of each of its
            loss tokens; see `core.advantages.token_weights`.
        of_ranks: `loss_tokens` of each rank's samples, those of `own` at `rank`.
        rank: This rank's number, from 0.
    Returns:
        In order; weights of 0.0 where no rank has a token to learn from.
    """
    counts = [count for one in of_ranks for count in one]
    weights = weigh(counts) if any(counts) else [0.0] * len(counts)
    first = sum(len(one) for one in of_ranks[:rank])
    return [
        replace(sample, token_weight=weight)
        for sample, weight in zip(own, weights[first : first + len(own)], strict=True)
    ]


def read_start(
    micro_batches: Sequence[Sequence[TrainingSample]],
    *,
    module: PolicyGradientModule,
    collate: Collate,
    has_several_updates: bool,
) -> list[MicroBatch]:
    """What the policy of the phase's start and the reference think of every token that is learned
    from, where the loss reads it and the step itself cannot know it; and the policy again under the
    changed pictures of token signals.

    Args:
        micro_batches: Of this rank; all ranks have equally many.
        module: Runs the passes.
        collate: Makes tensors of samples.
        has_several_updates: Whether the weights change before the phase's last micro-batch.
    Raises:
        ValueError: A signal changes the number or the size of pictures.
    """
    # a step's own pass is the start's only while no weight has changed, and nothing is dropped
    needs_old = module.needs_old and (has_several_updates or module.policy.has_dropout)
    found = []
    for samples in micro_batches:
        old = ref = None
        if needs_old or module.algorithm.needs_reference:
            batch = collate(samples).to(module.device)
            old = module.start_logprobs(batch).cpu() if needs_old else None
            if module.algorithm.needs_reference:
                ref = module.reference_logprobs(batch).cpu()
        changed = {
            signal.name: module.start_logprobs(
                collate(_with_changed_views(samples, signal)).to(module.device)
            ).cpu()
            for signal in module.signals
        }
        found.append(MicroBatch(samples, old, ref, changed))
    return found


def with_sampled_as_old(
    micro_batches: Sequence[MicroBatch], *, module: PolicyGradientModule, collate: Collate
) -> list[MicroBatch]:
    """The same with what replayed samples are compared with: the logprobs of the policy that
    sampled them, never those of the phase's start.
    """
    found = list(micro_batches)
    for i, one in enumerate(micro_batches):
        rows = [row for row, sample in enumerate(one.samples) if sample.is_replayed]
        if not rows:
            continue
        batch = collate(one.samples)
        old = one.old_logprobs
        if old is None:  # a step's own pass cannot be told apart from it any more
            old = module.start_logprobs(batch.to(module.device)).cpu()
        assert batch.sampling_logprobs is not None
        old = old.clone()
        old[rows] = batch.sampling_logprobs[rows].to(old.dtype)
        found[i] = replace(one, old_logprobs=old)
    return found


def _with_changed_views(
    samples: Sequence[TrainingSample], signal: TokenSignal
) -> list[TrainingSample]:
    changed = [replace(sample, views=signal.views(sample)) for sample in samples]
    for before, after in zip(samples, changed, strict=True):
        if [view.size for view in before.views] != [view.size for view in after.views]:
            raise ValueError(f"signal {signal.name!r} changes the number or the size of pictures")
    return changed


def _without_zero_gradients(
    update: Sequence[TrainingSample], *, at_least: int
) -> list[TrainingSample]:
    """The samples that can move the policy where an advantage of 0 is a gradient of 0.

    The others already count in every token's weight, so the loss and its gradient stay the same (to
    rounding) and a phase takes less time. What the training step measures is then over the samples
    that are left: `train/entropy`, `train/ratio_max`, `train/policy_loss`, `kl/old`, `clip/*`,
    `kl/sampling_*` and `sampling_ratio/*`; over all of them would need the forward passes that this
    saves. A few others are kept where there would be a micro-batch of none.
    """
    moving = [sample for sample in update if any(sample.advantages)]
    others = [sample for sample in update if not any(sample.advantages)]
    return moving + others[: max(at_least - len(moving), 0)]


def _cut(samples: Sequence[TrainingSample], num_parts: int) -> list[list[TrainingSample]]:
    """Neighbours together, in parts of sizes that differ by at most one."""
    bounds = [len(samples) * i // num_parts for i in range(num_parts + 1)]
    return [list(samples[a:b]) for a, b in pairwise(bounds)]
