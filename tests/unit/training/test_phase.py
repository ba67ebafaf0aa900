"""From scored rollouts to micro-batches: what may be left out, and what must not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from tests import builders
from tests.unit.models.small import assert_same_grads, grads, make_policy
from vigorl import ranks
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.images import ImageStore
from vigorl.models.losses import LossInputs
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.protocol import Algorithm
from vigorl.training.buffer import SPARE, Interleaved, PolicyBatch, RolloutBuffer, with_spares
from vigorl.training.marks import StartValues, UpdateTokens
from vigorl.training.phase import (
    Cutting,
    PhaseCut,
    credit_rollouts,
    cut_phase,
    loss_tokens,
    read_start,
)
from vigorl.training.plan import PhasePlan
from vigorl.training.readings import TokenReadings

PLAN = PhasePlan(
    prompts_per_phase=4, group_size=2, sequences_per_update=8, micro_batch_size=2
)  # 4 micro-batches on one rank, 2 on each of two


# ---- credit --------------------------------------------------------------------------------------


def interleaved() -> list[ScoredRollout]:
    """Groups a and b by turns; rewards 1, 0.5 and 0, 0.5."""
    return [
        builders.scored(builders.rollout(builders.answer_turn(), group=group), total=total)
        for group, total in (("a", 1.0), ("b", 0.5), ("a", 0.0), ("b", 0.5))
    ]


def test_advantages_stay_inside_the_group_and_in_order() -> None:
    scored, samples, _ = credit_rollouts(interleaved(), GRPO(scale_by_std=False))
    assert [one.advantage for one in scored] == [0.5, 0.0, -0.5, 0.0]
    for one, sample in zip(scored, samples, strict=True):
        assert sample.token_ids == one.rollout.token_ids
        assert sample.loss_mask == one.rollout.loss_mask
        assert sample.views == one.rollout.views
        assert sample.sampling_logprobs == one.rollout.sampling_logprobs
        assert sample.advantages == tuple(one.advantage * m for m in sample.loss_mask)


def test_what_is_masked_keeps_its_advantage_on_record_only() -> None:
    cut_off = builders.rollout(group="a", stop_reason=builders.StopReason.TURN_LENGTH)
    algorithm = GRPO(scale_by_std=False, mask_truncated=True)
    whole = interleaved()[0]
    scored, samples, _ = credit_rollouts([whole, builders.scored(cut_off, total=0.0)], algorithm)
    assert [one.advantage for one in scored] == [0.5, -0.5]
    assert not any(samples[1].loss_mask)
    assert not any(samples[1].advantages)


def test_a_group_of_one_is_named() -> None:
    with pytest.raises(ValueError, match="group 'a'"):
        credit_rollouts(interleaved()[:1], GRPO())


def test_samples_carry_what_was_read_of_their_tokens_and_nothing_is_read_twice() -> None:
    reads = [TokenReadings((-1.0, -2.0, -3.0, -4.0), (-1.5,) * 4)] * 4
    _, samples, _ = credit_rollouts(interleaved(), GRPO(kl_coef=0.1), readings=reads)
    prompt = (0.0,) * len(interleaved()[0].rollout.prompt_ids)
    assert samples[0].old_logprobs == (*prompt, -1.0, -2.0, -3.0, -4.0)
    text_only = [replace(one, views=(), token_ids=(5,) * 7) for one in samples[:2]]
    module = cast(Any, Reader(needs_old=True, needs_reference=True))
    module.start_logprobs = module.reference_logprobs = None  # a pass would be an error
    (found,) = read_start([text_only], module=module, collate=as_batch, has_several_updates=True)
    assert found.old_logprobs is not None
    assert found.old_logprobs[0].tolist() == list(samples[0].old_logprobs)
    assert found.ref_logprobs is not None
    assert found.ref_logprobs[1].tolist() == list(samples[1].ref_logprobs)


# ---- micro-batches -------------------------------------------------------------------------------


def cut(
    samples: Sequence[TrainingSample],
    *,
    plan: PhasePlan = PLAN,
    rank: int = 0,
    num_ranks: int = 1,
    algorithm: Algorithm | None = None,
    by_group: bool = False,
    **settings: Any,
) -> PhaseCut:
    by = Cutting(
        plan=plan,
        algorithm=algorithm or GRPO(**settings),
        order="0/0",
        num_tokens=lambda sample: len(sample.token_ids),
        rank=rank,
        num_ranks=num_ranks,
        by_group=by_group,
        num_shared=lambda members: min(len(one.token_ids) for one in members) - 1,
    )
    return cut_phase(samples, by)


def sample(number: int, *, advantage: float, is_masked: bool = False) -> TrainingSample:
    """`number` text tokens; all but the first are to be learned."""
    ids = tuple(5 + (number + i) % 5 for i in range(number))
    mask = (0, *[0 if is_masked else 1] * (number - 1))
    return TrainingSample(
        token_ids=ids,
        loss_mask=mask,
        views=(),
        sampling_logprobs=(-1.0,) * number,
        advantages=tuple(advantage * m for m in mask),
    )


# groups of two; the second and the third are flat
ADVANTAGES = [0.7, -0.7, 0.0, 0.0, 0.0, 0.0, -0.7, 0.7]
SAMPLES = [sample(3 + i, advantage=advantage) for i, advantage in enumerate(ADVANTAGES)]


def as_batch(samples: Sequence[TrainingSample]) -> TrainingBatch:
    no_pictures = ImageStore.__new__(ImageStore)  # nothing is asked of it
    return collate(samples, images=no_pictures, pad_id=0, image_id=1)


def loss_of(found: PhaseCut, policy: Any) -> Tensor:
    """The plain sum over micro-batches, with a little drift from the policy that sampled."""
    total = torch.zeros(())
    for part in found.micro_batches:
        batch = as_batch(part)
        assert batch.advantages is not None
        logprobs, _ = policy.response_logprobs(batch)
        inputs = LossInputs(
            policy_logprobs=logprobs,
            old_logprobs=logprobs.detach() - 0.1,
            advantages=batch.advantages,
            loss_mask=batch.loss_mask,
            token_weight=batch.token_weight,
        )
        loss = GRPO().loss(inputs).loss
        loss.backward()
        total += loss.detach()
    return total


@pytest.mark.parametrize("normalization", ["token_mean", "sequence_mean"])
def test_leaving_out_zero_advantages_changes_neither_loss_nor_gradient(normalization: str) -> None:
    policy = make_policy()
    moving = cut(SAMPLES, normalization=normalization)
    everything = cut(SAMPLES, kl_coef=0.1, normalization=normalization)
    assert [len(part) for part in moving.micro_batches] == [1, 1, 1, 1]
    assert [len(part) for part in everything.micro_batches] == [2, 2, 2, 2]
    loss = loss_of(moving, policy)
    found = grads(policy)
    torch.testing.assert_close(loss_of(everything, policy), loss, atol=1e-6, rtol=1e-5)
    assert_same_grads(found, grads(policy))
    assert max(float(grad.abs().max()) for grad in found.values()) > 1e-3


def test_one_batch_of_eight_is_eight_micro_batches_of_one() -> None:
    policy = make_policy()
    sizes = {"prompts_per_phase": 4, "group_size": 2, "sequences_per_update": 8}
    whole = cut(SAMPLES, plan=PhasePlan(**sizes, micro_batch_size=8), kl_coef=0.1)
    single = cut(SAMPLES, plan=PhasePlan(**sizes, micro_batch_size=1), kl_coef=0.1)
    assert [len(part) for part in whole.micro_batches] == [8]
    assert [len(part) for part in single.micro_batches] == [1] * 8
    loss = loss_of(whole, policy)
    found = grads(policy)
    torch.testing.assert_close(loss_of(single, policy), loss, atol=1e-6, rtol=1e-5)
    assert_same_grads(found, grads(policy))


def test_rollouts_of_a_prompt_go_together_where_they_share_its_reading() -> None:
    lengths = {"a": (3, 9), "b": (4, 5), "c": (6, 6), "d": (7, 8)}
    samples = [
        replace(sample(num, advantage=1.0), group=group)
        for group, both in lengths.items()
        for num in both
    ]
    found = cut(samples, by_group=True).micro_batches
    assert [{one.group for one in part} for part in found] == [{"b"}, {"c"}, {"d"}, {"a"}]
    found = cut(samples).micro_batches
    assert [len(one.token_ids) for part in found for one in part] == [3, 4, 5, 6, 6, 7, 8, 9]

    # read once: 10 tokens of a, 6 of b, 7 of c, 9 of d; alone they would be 12, 9, 12 and 15
    tokens = replace(PLAN, micro_batch_size=8, micro_batch_tokens=16)
    found = cut(samples, by_group=True, plan=tokens).micro_batches
    assert [{one.group for one in part} for part in found] == [{"a", "b"}, {"d", "c"}]


@pytest.mark.parametrize("kl_coef", [0.1, 0.0])
def test_micro_batches_of_so_many_tokens_teach_the_same(kl_coef: float) -> None:
    policy = make_policy(packing=True)
    sizes = {"prompts_per_phase": 4, "group_size": 2, "sequences_per_update": 8}
    single = cut(SAMPLES, plan=PhasePlan(**sizes, micro_batch_size=1), kl_coef=0.1)
    budget = PhasePlan(**sizes, micro_batch_size=8, micro_batch_tokens=20)
    found = cut(SAMPLES, plan=budget, kl_coef=kl_coef)
    assert budget.accumulate(1) == 8
    # 3 to 10 tokens, 52 in all; without the flat ones 3, 4, 9 and 10
    assert found.per_update == [3 if kl_coef else 2] == [len(found.micro_batches)]
    assert all(sum(len(s.token_ids) for s in part) <= 20 for part in found.micro_batches)
    loss = loss_of(single, policy)
    gradients = grads(policy)
    torch.testing.assert_close(loss_of(found, policy), loss, atol=1e-6, rtol=1e-5)
    assert_same_grads(grads(policy), gradients)


def test_a_sequence_longer_than_the_budget_is_said(caplog: pytest.LogCaptureFixture) -> None:
    sizes = {"prompts_per_phase": 4, "group_size": 2, "sequences_per_update": 8}
    cut(SAMPLES, plan=PhasePlan(**sizes, micro_batch_size=8, micro_batch_tokens=9))
    assert "phase 0: a sequence has 10 tokens, more than plan.micro_batch_tokens=9" in caplog.text


def test_what_an_update_does_not_need_is_spare_behind_its_first() -> None:
    assert with_spares(["a", "b", "c", "d", "e"], [3, 2], places=4) == [
        "a", SPARE, "b", "c",
        "d", SPARE, SPARE, "e",
    ]  # fmt: skip


def test_ranks_that_read_together_take_turns() -> None:
    both = Interleaved[str](cast(Any, [["a", "b"], ["c", "d"]]))
    assert [both[i] for i in range(len(both))] == ["a", "c", "b", "d"]
    with pytest.raises(IndexError):
        both[4]


def test_every_pass_has_its_own_order_and_its_own_updates() -> None:
    plan = PhasePlan(
        prompts_per_phase=4, group_size=2, sequences_per_update=4, micro_batch_size=4, passes=2
    )
    parts = cut(SAMPLES, plan=plan, kl_coef=0.1).micro_batches
    ids = [{len(one.token_ids) for one in part} for part in parts]
    assert [len(part) for part in parts] == [4] * 4
    assert ids[0] | ids[1] == ids[2] | ids[3] == set(range(3, 11))
    assert ids[0] not in (ids[2], ids[3])


@pytest.fixture
def two_ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[TrainingSample]], None]:
    """Says what the other rank holds."""

    def fake(other: list[TrainingSample]) -> None:
        def gather(found: list[Any], own: Any) -> None:
            found[:] = [own, loss_tokens(other)]

        monkeypatch.setattr(ranks, "num_ranks", lambda: 2)
        monkeypatch.setattr(dist, "all_gather_object", gather)

    return fake


def test_a_rank_without_advantages_keeps_a_sample_per_micro_batch(
    two_ranks: Callable[[list[TrainingSample]], None],
) -> None:
    flat, moving = SAMPLES[2:6], [*SAMPLES[:2], *SAMPLES[6:]]
    two_ranks(moving)
    found = cut(flat, num_ranks=2)
    assert [len(part) for part in found.micro_batches] == [1, 1]
    assert found.num_empty == 0
    num_tokens = sum(sum(one.loss_mask) for one in SAMPLES)  # of both ranks
    weights = {one.token_weight for part in found.micro_batches for one in part}
    assert weights == {1 / num_tokens}
    policy = make_policy()
    assert loss_of(found, policy) == 0.0
    assert all(not grad.any() for grad in grads(policy).values())


@pytest.mark.parametrize("normalization", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("kl_coef", [0.1, 0.0])
def test_an_update_in_which_all_is_masked_weighs_nothing(
    normalization: str, kl_coef: float
) -> None:
    masked = [sample(3 + i, advantage=a, is_masked=True) for i, a in enumerate(ADVANTAGES)]
    found = cut(masked, kl_coef=kl_coef, normalization=normalization)
    assert found.num_empty == 1
    assert len(found.micro_batches) == 4
    assert {one.token_weight for part in found.micro_batches for one in part} == {0.0}
    policy = make_policy()
    assert loss_of(found, policy) == 0.0
    assert all(not grad.any() for grad in grads(policy).values())


def test_a_rank_on_which_all_is_masked_is_not_an_empty_update(
    two_ranks: Callable[[list[TrainingSample]], None],
) -> None:
    two_ranks(SAMPLES[:4])
    masked = [sample(4, advantage=1.0, is_masked=True)] * 4
    found = cut(masked, num_ranks=2, normalization="sequence_mean")
    assert found.num_empty == 0
    assert [len(part) for part in found.micro_batches] == [1, 1]


# ---- what is read before the first update --------------------------------------------------------


class Reader:
    """Stands for the module: logprobs that name the weights they are from."""

    device, signals, gradient_signals = "cpu", (), ()

    def __init__(
        self, *, needs_old: bool, needs_reference: bool, has_dropout: bool = False
    ) -> None:
        self.needs_old, self.policy = needs_old, SimpleNamespace(has_dropout=has_dropout)
        self.algorithm = SimpleNamespace(needs_reference=needs_reference)

    def start_logprobs(self, batch: TrainingBatch) -> Tensor:
        return torch.full(batch.input_ids.shape, -1.0)

    def reference_logprobs(self, batch: TrainingBatch) -> Tensor:
        return torch.full(batch.input_ids.shape, -2.0)

    def start_values(self, samples: Any, batch: TrainingBatch, changed: Any) -> StartValues:
        values = batch.input_ids.float()
        return StartValues(samples, batch.loss_mask, values, values, values, {})


@pytest.mark.parametrize("needs_old", [True, False])
@pytest.mark.parametrize("needs_reference", [True, False])
@pytest.mark.parametrize(
    ("has_several_updates", "has_dropout"), [(True, False), (False, False), (False, True)]
)
def test_only_what_the_loss_reads_and_the_step_cannot_know_takes_a_pass(
    needs_old: bool, needs_reference: bool, has_several_updates: bool, has_dropout: bool
) -> None:
    collated: list[int] = []

    def counting(samples: Sequence[TrainingSample]) -> TrainingBatch:
        collated.append(len(samples))
        return as_batch(samples)

    found = read_start(
        [SAMPLES[:2], SAMPLES[2:3]],
        module=cast(
            Any,
            Reader(needs_old=needs_old, needs_reference=needs_reference, has_dropout=has_dropout),
        ),
        collate=counting,
        has_several_updates=has_several_updates,
    )
    is_old_read = needs_old and (has_several_updates or has_dropout)
    assert [one.old_logprobs is not None for one in found] == [is_old_read] * 2
    assert [one.ref_logprobs is not None for one in found] == [needs_reference] * 2
    assert collated == ([2, 1] if is_old_read or needs_reference else [])


class Above(GRPO):
    """Marks the tokens above the update's mean."""

    @property
    def needs_marks(self) -> bool:
        return True

    def marks(self, tokens: UpdateTokens) -> Tensor:
        return (tokens.entropy > tokens.entropy.mean()).float()


def test_marks_are_of_one_update_and_of_all_its_samples() -> None:
    found = cut(SAMPLES, algorithm=Above())
    assert [len(part) for part in found.micro_batches] == [2, 2, 2, 2]  # flat ones count too
    reader = cast(Any, Reader(needs_old=False, needs_reference=False))
    reader.algorithm = Above()
    low, high = [sample(3, advantage=1.0)], [sample(4, advantage=1.0)]  # ids 8 9 5; 9 5 6 7
    first, second, third = read_start(
        [high, low, low],
        module=reader,
        collate=as_batch,
        has_several_updates=False,
        per_update=[2, 1],
    )
    assert first.old_logprobs is None  # one update: the step knows it
    # 5 6 7 9 5: mean 6.4; then 9 5: mean 7
    assert [one.marks.tolist() for one in (first, second) if one.marks is not None] == [
        [[0, 0, 0, 1]], [[0, 1, 0]]
    ]  # fmt: skip
    assert third.marks is not None
    assert third.marks.tolist() == [[0, 1, 0]]
    buffer = RolloutBuffer(1, collate=as_batch)
    buffer.fill([third])
    assert cast(PolicyBatch, buffer[0].to("cpu")).marks is third.marks


def test_a_micro_batch_becomes_tensors_when_it_is_asked_for() -> None:
    made: list[TrainingBatch] = []

    def making(samples: Sequence[TrainingSample]) -> TrainingBatch:
        made.append(as_batch(samples))
        return made[-1]

    buffer = RolloutBuffer(2, collate=making)
    module = cast(Any, Reader(needs_old=False, needs_reference=False))
    parts = [SAMPLES[:2], SAMPLES[2:3]]
    buffer.fill(read_start(parts, module=module, collate=making, has_several_updates=False))
    assert made == []
    item = buffer[1]
    assert isinstance(item, PolicyBatch)
    assert made == [item.batch]
    assert item.batch.input_ids.tolist() == [list(SAMPLES[2].token_ids)]
    with pytest.raises(ValueError, match="planned 2 micro-batches, got 1"):
        buffer.fill(read_start(parts[:1], module=module, collate=making, has_several_updates=False))
