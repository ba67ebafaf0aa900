"""How a phase is cut into micro-batches: what may be left out, and what must not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from tests.unit.models.small import assert_same_grads, grads, make_policy
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import collate
from vigorl.data.images import ImageStore
from vigorl.models.losses import grpo_loss
from vigorl.training.plan import PhasePlan

PLAN = PhasePlan(
    prompts_per_phase=4, group_size=2, sequences_per_update=8, micro_batch_size=2
)  # 4 micro-batches on one rank, 2 on each of two
DATAMODULE = SimpleNamespace(num_tokens=lambda sample: len(sample.token_ids))


def callback(**settings: Any) -> RolloutCallback:
    parts = dict.fromkeys(("engine", "environment", "eval_environment", "reward"))
    return RolloutCallback(**cast(Any, parts), seed=0, **settings)


def cut(
    samples: Sequence[TrainingSample],
    *,
    has_kl: bool = False,
    rank: int = 0,
    num_ranks: int = 1,
    **settings: Any,
) -> tuple[list[list[TrainingSample]], int]:
    trainer = SimpleNamespace(world_size=num_ranks, global_rank=rank, current_epoch=0)
    return callback(**settings)._micro_batches(
        samples, PLAN, cast(Any, trainer), cast(Any, DATAMODULE), has_kl=has_kl
    )


def sample(number: int, *, advantage: float, is_masked: bool = False) -> TrainingSample:
    """`number` text tokens; all but the first are to be learned."""
    ids = tuple(5 + (number + i) % 5 for i in range(number))
    return TrainingSample(
        token_ids=ids,
        loss_mask=(0, *[0 if is_masked else 1] * (number - 1)),
        views=(),
        sampling_logprobs=(-1.0,) * number,
        advantage=advantage,
    )


# groups of two; the second and the third are flat
ADVANTAGES = [0.7, -0.7, 0.0, 0.0, 0.0, 0.0, -0.7, 0.7]
SAMPLES = [sample(3 + i, advantage=advantage) for i, advantage in enumerate(ADVANTAGES)]


def loss_of(micro_batches: list[list[TrainingSample]], policy: Any) -> Tensor:
    """The plain sum over micro-batches, with a little drift from the policy that sampled."""
    total = torch.zeros(())
    for part in micro_batches:
        no_pictures = ImageStore.__new__(ImageStore)  # nothing is asked of it
        batch = collate(part, images=no_pictures, pad_id=0, image_id=1)
        logprobs, _ = policy.response_logprobs(batch)
        old = logprobs.detach() - 0.1
        loss = grpo_loss(logprobs, old, batch.advantages, batch.loss_mask, batch.token_weight).loss
        loss.backward()
        total += loss.detach()
    return total


@pytest.mark.parametrize("normalization", ["token_mean", "sequence_mean"])
def test_leaving_out_idle_samples_changes_neither_loss_nor_gradient(normalization: str) -> None:
    policy = make_policy()
    busy, _ = cut(SAMPLES, normalization=normalization)
    everything, _ = cut(SAMPLES, has_kl=True, normalization=normalization)
    assert [len(part) for part in busy] == [1, 1, 1, 1]
    assert [len(part) for part in everything] == [2, 2, 2, 2]
    loss = loss_of(busy, policy)
    found = grads(policy)
    torch.testing.assert_close(loss_of(everything, policy), loss, atol=1e-6, rtol=1e-5)
    assert_same_grads(found, grads(policy))
    assert max(float(grad.abs().max()) for grad in found.values()) > 1e-3


@pytest.fixture
def two_ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[TrainingSample]], None]:
    """Says what the other rank holds."""

    def fake(other: list[TrainingSample]) -> None:
        def gather(found: list[Any], own: Any) -> None:
            found[:] = [own, [sum(sample.loss_mask) for sample in other]]

        monkeypatch.setattr(dist, "all_gather_object", gather)

    return fake


def test_a_rank_without_busy_samples_keeps_one_per_micro_batch(
    two_ranks: Callable[[list[TrainingSample]], None],
) -> None:
    idle, busy = SAMPLES[2:6], [*SAMPLES[:2], *SAMPLES[6:]]
    two_ranks(busy)
    parts, num_empty = cut(idle, num_ranks=2)
    assert [len(part) for part in parts] == [1, 1]
    assert num_empty == 0
    num_tokens = sum(sum(one.loss_mask) for one in SAMPLES)  # of both ranks
    assert {one.token_weight for part in parts for one in part} == {1 / num_tokens}
    policy = make_policy()
    assert loss_of(parts, policy) == 0.0
    assert all(not grad.any() for grad in grads(policy).values())


@pytest.mark.parametrize("normalization", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("has_kl", [True, False])
def test_an_update_in_which_all_is_masked_weighs_nothing(normalization: str, has_kl: bool) -> None:
    masked = [sample(3 + i, advantage=a, is_masked=True) for i, a in enumerate(ADVANTAGES)]
    parts, num_empty = cut(masked, has_kl=has_kl, normalization=normalization)
    assert num_empty == 1
    assert len(parts) == 4
    assert {one.token_weight for part in parts for one in part} == {0.0}
    policy = make_policy()
    assert loss_of(parts, policy) == 0.0
    assert all(not grad.any() for grad in grads(policy).values())


def test_a_rank_on_which_all_is_masked_is_not_an_empty_update(
    two_ranks: Callable[[list[TrainingSample]], None],
) -> None:
    two_ranks(SAMPLES[:4])
    masked = [sample(4, advantage=1.0, is_masked=True)] * 4
    parts, num_empty = cut(masked, num_ranks=2, normalization="sequence_mean")
    assert num_empty == 0
    assert [len(part) for part in parts] == [1, 1]
