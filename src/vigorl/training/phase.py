"""From a phase's finished rollouts to the micro-batches that its updates read.

    rollouts -> scored               rollout.experience.score_rollouts
    scored -> with readings          readings.read_rollouts: passes without gradient, where the
                                     credit needs them
    scored -> credited               credit_rollouts: each token's advantage, and samples from them
    samples -> optimizer batches     cut_phase: shuffled; every token's weight is fixed, over all
            -> micro-batches             ranks, before a batch is cut
    micro-batches -> with logprobs   read_start: passes without gradient, before the first update,
                                     and the marks of each update (`training.marks`)

The steps after the score know neither Lightning nor which algorithm runs. SFT shares the weights
(`weigh_update`).
"""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import NamedTuple, TypeVar

from vigorl.core.advantages import Credit
from vigorl.core.rollout import Rollout, ScoredRollout, TrainingSample, group_indices
from vigorl.ranks import from_all_ranks
from vigorl.training.algorithms.protocol import Algorithm
from vigorl.training.buffer import Collate, MicroBatch
from vigorl.training.marks import Marking, StartValues, mark_update, marker_of
from vigorl.training.plan import PhasePlan
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.readings import TokenReadings, carried_old, carried_ref, crediting_of
from vigorl.training.signals.signal import TokenSignal
from vigorl.training.token_budget import Shared, TokenBudget, cut_together

_LOG = logging.getLogger(__name__)
Value = TypeVar("Value")
Weigh = Callable[[Sequence[int], Sequence[str]], list[float]]


class Credited(NamedTuple):
    """Rollouts with their advantages, and what is learned from them, in the same order; and what
    is measured about the credit.
    """

    scored: list[ScoredRollout]
    samples: list[TrainingSample]
    sums: Mapping[str, tuple[float, float]]  # sum and count by name


def credit_rollouts(
    scored: Sequence[ScoredRollout],
    algorithm: Algorithm,
    *,
    readings: Sequence[TokenReadings] = (),
) -> Credited:
    """Advantages and samples, one per rollout, in order; never fewer, so that a planned buffer
    length holds.

    Args:
        scored: Whole groups, which may be interleaved.
        algorithm: Credits them.
        readings: Of each rollout, where the algorithm's credit reads tokens; the samples carry them
            on to `read_start`.
    Returns:
        Samples with `token_weight` 1.0, which `cut_phase` sets.
    Raises:
        ValueError: Rewards that cannot be compared; names the group.
    """
    groups = group_indices(one.rollout for one in scored)
    by_group = [[scored[i] for i in members] for members in groups]
    crediting = crediting_of(algorithm)
    if readings and crediting is not None:
        read = [[readings[i] for i in members] for members in groups]
        credited = crediting.credit(by_group, readings=read)
    else:
        credited = algorithm.credit(by_group)
    sums = _credit_sums(credited)
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
                group=rollout.group,
                is_guest=rollout.is_guest,
                targets=rollout.task.target_boxes,
                returns=credit.returns,
            )
            if readings:
                samples[i] = _carrying(samples[i], rollout, readings[i])
    return Credited(with_advantage, samples, sums)


def _carrying(sample: TrainingSample, rollout: Rollout, read: TokenReadings) -> TrainingSample:
    """With what was read of its tokens, as long as its ids."""
    old, ref, expected = (
        rollout.spread(rollout.by_turn(values), fill=0.0) if values else ()
        for values in (read.old_logprobs, read.ref_logprobs, read.values)
    )
    return replace(sample, old_logprobs=old, ref_logprobs=ref, old_values=expected)


def _credit_sums(credited: Sequence[Sequence[Credit]]) -> dict[str, tuple[float, float]]:
    """What the credits measured, over all of them; (sum, count) by name."""
    sums: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for credit in chain.from_iterable(credited):
        for name, one in credit.metrics.items():
            sums[name].append(one)
    return {
        name: (math.fsum(total for total, _ in found), math.fsum(num for _, num in found))
        for name, found in sums.items()
    }


@dataclass(frozen=True, slots=True)
class PhaseCut:
    """A phase's micro-batches on one rank.

    Attributes:
        micro_batches: In order.
        num_empty: Updates without a token to learn from on any rank; their gradient is 0.
        per_update: Micro-batches of each update, the same on all ranks.
    """

    micro_batches: list[list[TrainingSample]]
    num_empty: int
    per_update: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How a rank cuts what a phase learns from.

    Attributes:
        plan: Sizes.
        algorithm: Weighs tokens, and says whether samples without advantage may be left out.
        order: Seed of the shuffling, the phase in it.
        num_tokens: A sample's length, pictures expanded.
        rank: This rank's number, from 0.
        num_ranks: How many share an optimizer batch.
        by_group: Rollouts of a prompt go into the same micro-batch where they can: what they begin
            with is read once.
        attention: See `Policy.attention_cost`.
        num_shared: Tokens that samples begin with together; counted once where tokens are counted
            and rollouts of a prompt stay together.
    """

    plan: PhasePlan
    algorithm: Algorithm
    order: str
    num_tokens: Callable[[TrainingSample], int]
    rank: int
    num_ranks: int
    by_group: bool = False
    attention: float = 0.0
    num_shared: Callable[[Sequence[TrainingSample]], int] | None = None

    @property
    def budget(self) -> TokenBudget | None:
        """Of a micro-batch; None where sequences are counted."""
        if self.plan.micro_batch_tokens is None:
            return None
        return TokenBudget(
            most_tokens=self.plan.micro_batch_tokens,
            most_sequences=self.plan.micro_batch_size,
            attention=self.attention,
        )


def cut_phase(
    samples: Sequence[TrainingSample], by: Cutting, *, keeps_all: bool = False
) -> PhaseCut:
    """Cut this rank's samples into optimizer batches, and these into micro-batches; all ranks call
    it together.

    Within an optimizer batch samples are sorted by length, so that a micro-batch has little
    padding, or placed by what they cost, where tokens are counted; the weights are fixed before, so
    this changes nothing else.

    Args:
        samples: One per rollout of this rank.
        by: How.
        keeps_all: Samples without advantage are kept whatever the algorithm says: something else,
            such as an entropy bonus, learns from them.
    """
    plan, algorithm = by.plan, by.algorithm
    size, num_parts = plan.sequences_per_update // by.num_ranks, plan.accumulate(by.num_ranks)
    micro_batches: list[list[TrainingSample]] = []
    per_update: list[int] = []
    num_empty = 0
    for pass_number in range(plan.passes):
        shuffled = list(samples)
        random.Random(f"{by.order}/{pass_number}").shuffle(shuffled)
        for first in range(0, len(shuffled), size):
            update = shuffled[first : first + size]
            of_ranks = from_all_ranks(loss_tokens(update))
            num_empty += not any(one.num_tokens for of_rank in of_ranks for one in of_rank)
            update = weigh_update(update, algorithm.token_weights, of_ranks=of_ranks, rank=by.rank)
            update = _neighbours(update, by)
            needs_all = keeps_all or algorithm.needs_zero_advantages
            others: list[TrainingSample] = []
            if not needs_all and marker_of(algorithm) is None:
                update, others = _by_gradient(update)
            if by.budget is None:
                update += others[: max(num_parts - len(update), 0)]
                parts = cut_evenly(update, num_parts)
            else:
                every = [*update, *others]
                lengths = [by.num_tokens(sample) for sample in every]
                placed = cut_together(
                    lengths, budget=by.budget, num_needed=len(update), shared=_shared(every, by)
                )
                parts = [[every[i] for i in part] for part in placed]
            micro_batches += parts
            per_update.append(len(parts))
    if plan.micro_batch_tokens is not None:
        _note_longest(micro_batches, by)
    return PhaseCut(micro_batches, num_empty, per_update)


def _shared(samples: Sequence[TrainingSample], by: Cutting) -> Shared | None:
    """What rollouts of a prompt begin with together, where that is read once."""
    if not by.by_group or by.num_shared is None:
        return None
    groups: defaultdict[str, list[TrainingSample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    starts = {name: by.num_shared(members) for name, members in groups.items()}
    return Shared([sample.group for sample in samples], starts)


def _note_longest(micro_batches: Sequence[Sequence[TrainingSample]], by: Cutting) -> None:
    longest = max(by.num_tokens(sample) for part in micro_batches for sample in part)
    if longest > (most := by.plan.micro_batch_tokens or longest):
        _LOG.warning(
            "rank %d, phase %s: a sequence has %d tokens, more than plan.micro_batch_tokens=%d; it "
            "is read alone, beyond the budget: raise that, or lower limits.max_response_tokens",
            *(by.rank, by.order.rpartition("/")[2], longest, most),
        )


def _neighbours(update: Sequence[TrainingSample], by: Cutting) -> list[TrainingSample]:
    """By length; or group by group, by the longest of each."""
    if not by.by_group:
        return sorted(update, key=by.num_tokens)
    longest: defaultdict[str, int] = defaultdict(int)
    for sample in update:
        longest[sample.group] = max(longest[sample.group], by.num_tokens(sample))
    return sorted(update, key=lambda one: (longest[one.group], one.group, by.num_tokens(one)))


class LossTokens(NamedTuple):
    """How many tokens of a sequence are learned from, and which prompt it is of."""

    num_tokens: int
    group: str = ""


def loss_tokens(samples: Sequence[TrainingSample]) -> list[LossTokens]:
    """Of each, in order."""
    return [LossTokens(sum(sample.loss_mask), sample.group) for sample in samples]


def weigh_update(
    own: Sequence[TrainingSample],
    weigh: Weigh,
    *,
    of_ranks: Sequence[Sequence[LossTokens]],
    rank: int,
) -> list[TrainingSample]:
    """Set the token weights of one rank's samples of an optimizer batch.

    Args:
        own: This rank's samples.
        weigh: From the loss tokens and the prompt of each sequence of the whole batch to the weight
            of each of its loss tokens; see `core.advantages.token_weights`.
        of_ranks: `loss_tokens` of each rank's samples, those of `own` at `rank`.
        rank: This rank's number, from 0.
    Returns:
        In order, with their share in a plain mean too; weights of 0.0 where no rank has a token to
        learn from.
    """
    every = [one for of_rank in of_ranks for one in of_rank]
    counts = [one.num_tokens for one in every]
    weights, share = [0.0] * len(counts), 1.0 / max(sum(counts), 1)
    if any(counts):
        weights = weigh(counts, [one.group for one in every])
    first = sum(len(one) for one in of_ranks[:rank])
    return [
        replace(sample, token_weight=weight, token_share=share)
        for sample, weight in zip(own, weights[first : first + len(own)], strict=True)
    ]


def read_start(
    micro_batches: Sequence[Sequence[TrainingSample]],
    *,
    module: PolicyGradientModule,
    collate: Collate,
    has_several_updates: bool,
    per_update: Sequence[int] | None = None,
) -> list[MicroBatch]:
    """What the policy of the phase's start and the reference think of every token that is learned
    from, where the loss reads it and the step itself cannot know it; the policy again under the
    changed pictures of token signals; and the marks of each update.

    Args:
        micro_batches: Of this rank; all ranks have equally many.
        module: Runs the passes.
        collate: Makes tensors of samples.
        has_several_updates: Whether the weights change before the phase's last micro-batch.
        per_update: Micro-batches of each update; None takes all for one.
    Raises:
        ValueError: A signal changes the number or the size of pictures.
    """
    # a step's own pass is the start's only while no weight has changed, and nothing is dropped
    needs_old = module.needs_old and (has_several_updates or module.policy.has_dropout)
    marking, found, seen = marker_of(module.algorithm), [], []
    for samples in micro_batches:
        one, start = _read_one(
            samples, module=module, collate=collate, needs_old=needs_old, marking=marking
        )
        found.append(one)
        seen.append(start)
    if marking is None:
        return found
    ends = list(accumulate(per_update or [len(found)], initial=0))
    marks = [one for a, b in pairwise(ends) for one in mark_update(seen[a:b], marking)]
    return [replace(one, marks=of_one) for one, of_one in zip(found, marks, strict=True)]


def _read_one(
    samples: Sequence[TrainingSample],
    *,
    module: PolicyGradientModule,
    collate: Collate,
    needs_old: bool,
    marking: Marking | None,
) -> tuple[MicroBatch, StartValues | None]:
    """A micro-batch with what is read of it, and what its update's marks are made of, if any."""
    old = ref = start = None
    later = module.gradient_signals
    changed = {signal.name: _with_changed_views(samples, signal) for signal in module.signals}
    changed_logprobs = {
        name: module.start_logprobs(collate(one).to(module.device)).cpu()
        for name, one in changed.items()
        if name not in later
    }
    if needs_old or module.algorithm.needs_reference or marking:
        batch = collate(samples).to(module.device)
        if marking:
            start = module.start_values(samples, batch, changed_logprobs)
        if needs_old:
            old = start.old_logprobs if start else carried_old(samples, batch.loss_mask)
            old = module.start_logprobs(batch).cpu() if old is None else old
        if module.algorithm.needs_reference:
            ref = carried_ref(samples, batch.loss_mask)
            ref = module.reference_logprobs(batch).cpu() if ref is None else ref
    of_step = {name: one for name, one in changed.items() if name in later}
    return MicroBatch(samples, old, ref, changed_logprobs, changed=of_step), start


def with_sampled_as_old(
    micro_batches: Sequence[MicroBatch], *, module: PolicyGradientModule, collate: Collate
) -> list[MicroBatch]:
    """The same with what replayed samples are compared with: the logprobs of the policy that
    sampled them, never those of the phase's start. All ranks call it together.
    """
    rows = [
        [row for row, sample in enumerate(one.samples) if sample.is_replayed]
        for one in micro_batches
    ]
    if not any(from_all_ranks(any(rows))):
        return list(micro_batches)
    found = []
    for one, replayed in zip(micro_batches, rows, strict=True):
        batch, old = collate(one.samples), one.old_logprobs
        if old is None:  # on every rank for every micro-batch, so that they stay in step
            old = module.start_logprobs(batch.to(module.device)).cpu()
        assert batch.sampling_logprobs is not None
        old = old.clone()
        old[replayed] = batch.sampling_logprobs[replayed].to(old.dtype)
        found.append(replace(one, old_logprobs=old))
    return found


def _with_changed_views(
    samples: Sequence[TrainingSample], signal: TokenSignal
) -> list[TrainingSample]:
    changed = [replace(sample, views=signal.views(sample)) for sample in samples]
    for before, after in zip(samples, changed, strict=True):
        if [view.size for view in before.views] != [view.size for view in after.views]:
            raise ValueError(f"signal {signal.name!r} changes the number or the size of pictures")
    return changed


def _by_gradient(
    update: Sequence[TrainingSample],
) -> tuple[list[TrainingSample], list[TrainingSample]]:
    """The samples that can move the policy, where an advantage of 0 is a gradient of 0, and the
    rest.

    The others already count in every token's weight, so the loss and its gradient stay the same (to
    rounding) and a phase takes less time. What the training step measures is then over the samples
    that are left: `train/entropy`, `train/ratio_max`, `train/policy_loss`, `kl/old`, `clip/*`,
    `kl/sampling_*` and `sampling_ratio/*`; over all of them would need the forward passes that this
    saves. A few of the rest are kept where there would be a micro-batch of none.
    """
    moving = [sample for sample in update if any(sample.advantages)]
    return moving, [sample for sample in update if not any(sample.advantages)]


def cut_evenly(values: Sequence[Value], num_parts: int) -> list[list[Value]]:
    """Neighbours together, in parts of sizes that differ by at most one."""
    bounds = [len(values) * i // num_parts for i in range(num_parts + 1)]
    return [list(values[a:b]) for a, b in pairwise(bounds)]
