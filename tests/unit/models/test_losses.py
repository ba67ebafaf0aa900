from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import assert_same_grads, grads, make_batch, make_policy
from vigorl.core.advantages import Normalization, token_weights
from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossOutput, grpo_loss, k3_kl, sft_loss

ONE = torch.tensor([1.0])
MASK = torch.tensor([[1]])


def one_token(ratio: float, advantage: float, **settings: object) -> tuple[LossOutput, Tensor]:
    """Loss of a single token with weight 1, and its gradient with respect to the policy logprob."""
    policy = torch.tensor([[math.log(ratio) - 1.0]], requires_grad=True)
    out = grpo_loss(
        policy, torch.tensor([[-1.0]]), torch.tensor([advantage]), MASK, ONE, **settings
    )
    out.loss.backward()
    assert policy.grad is not None
    return out, policy.grad[0, 0]


def mean(out: LossOutput, name: str) -> float:
    total, num = out.metrics[name]
    return (total / num).item()


def test_sft_loss_is_the_weighted_sum() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -9.0], [-4.0, -9.0, -9.0]], requires_grad=True)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    out = sft_loss(logprobs, mask, torch.tensor([0.25, 0.5]))
    assert out.loss.item() == pytest.approx(0.25 * (1 + 2) + 0.5 * 4)  # 2.75
    out.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.25, -0.25, 0], [-0.5, 0, 0]]
    assert mean(out, "train/nll") == pytest.approx(7 / 3)


def test_unmasked_infinities_do_not_leak() -> None:
    logprobs = torch.tensor([[-1.0, -math.inf]], requires_grad=True)
    out = sft_loss(logprobs, torch.tensor([[1, 0]]), ONE)
    out.loss.backward()
    assert out.loss.item() == 1.0
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-1, 0]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "grad"),
    [
        # d loss / d logprob = -A r where the ratio counts, 0 where a clip holds it
        (1.0, 2.0, -2.0, -2.0),
        (1.25, 2.0, -2.5, -2.5),  # inside 1.28
        (1.5, 2.0, -2.56, 0.0),  # high clip: -1.28 * 2
        (0.5, 2.0, -1.0, -1.0),  # too rare and good: never clipped
        (1.5, -2.0, 3.0, 3.0),  # too common and bad: not clipped (r < 3)
        (0.5, -2.0, 1.6, 0.0),  # low clip: 0.8 * 2
        (0.9, -2.0, 1.8, 1.8),  # inside 0.8
        (4.0, -2.0, 6.0, 0.0),  # dual clip: 3 * 2
        (4.0, 0.0, 0.0, 0.0),
    ],
)
def test_token_loss_and_gradient_by_hand(
    ratio: float, advantage: float, loss: float, grad: float
) -> None:
    out, found = one_token(ratio, advantage)
    assert out.loss.item() == pytest.approx(loss, rel=1e-5)
    assert found.item() == pytest.approx(grad, rel=1e-5)


def test_without_dual_clip_a_loved_bad_token_pulls_in_full() -> None:
    out, grad = one_token(4.0, -2.0, dual_clip=None)
    assert out.loss.item() == pytest.approx(8.0, rel=1e-5)
    assert grad.item() == pytest.approx(8.0, rel=1e-5)
    assert "clip/dual_frac" not in out.metrics


def test_metrics_count_each_clip_once() -> None:
    ratio = torch.tensor([[1.5, 1.0, 0.5, 9.0], [0.5, 4.0, 1.0, 9.0]])
    old = torch.full((2, 4), -1.0)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]])
    out = grpo_loss(
        old + ratio.log(), old, torch.tensor([1.0, -1.0]), mask, torch.tensor([1.0, 1.0]),
        ref_logprobs=old, entropy=torch.full((2, 4), 0.5),
    )  # fmt: skip
    assert mean(out, "clip/high_frac") == pytest.approx(1 / 6)  # 1.5 with A > 0
    assert mean(out, "clip/low_frac") == pytest.approx(1 / 6)  # 0.5 with A < 0
    assert mean(out, "clip/dual_frac") == pytest.approx(1 / 6)  # 4.0 with A < 0
    assert mean(out, "train/entropy") == pytest.approx(0.5)
    assert out.maxima["train/ratio_max"].item() == pytest.approx(4.0, rel=1e-5)
    # k3: sum of r - 1 - log r over 1.5, 1, 0.5, 0.5, 4, 1
    expected = sum(r - 1 - math.log(r) for r in (1.5, 1.0, 0.5, 0.5, 4.0, 1.0)) / 6
    assert mean(out, "kl/old") == pytest.approx(expected, rel=1e-4)
    assert all(not total.requires_grad for total, _ in out.metrics.values())


def test_kl_is_zero_when_equal_and_k3_elsewhere() -> None:
    policy = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    ref = torch.tensor([[-1.0, -1.5, -0.5]])
    kl = k3_kl(policy, ref, torch.ones(1, 3))
    # d = 0, -0.5, 0.5: exp(d) - d - 1 = 0, 0.10653, 0.14872
    assert kl[0].tolist() == pytest.approx([0.0, 0.10653, 0.14872], abs=1e-5)
    kl.sum().backward()
    assert policy.grad is not None  # 1 - exp(d)
    assert policy.grad[0].tolist() == pytest.approx([0.0, 0.39347, -0.64872], abs=1e-5)


def test_kl_of_a_token_ends_at_ten_nats() -> None:
    policy = torch.tensor([[-1.0, -50.0]], requires_grad=True)
    ref = torch.tensor([[-40.0, -1.0]])
    kl = k3_kl(policy, ref, torch.ones(1, 2))
    assert kl.tolist() == [[10.0, 10.0]]
    kl.sum().backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == [[0.0, 0.0]]


def test_kl_coef_scales_the_reference_term_only() -> None:
    policy = torch.tensor([[-1.0]])
    arguments = (policy, policy, ONE, MASK, torch.tensor([0.5]))
    ref = torch.tensor([[-1.5]])
    measured = grpo_loss(*arguments, ref_logprobs=ref)
    paid = grpo_loss(*arguments, ref_logprobs=ref, kl_coef=0.1)
    assert measured.loss.item() == pytest.approx(-0.5)
    assert paid.loss.item() == pytest.approx(-0.5 + 0.5 * 0.1 * 0.10653, abs=1e-6)
    assert mean(measured, "kl/ref") == mean(paid, "kl/ref") == pytest.approx(0.10653, abs=1e-5)
    assert mean(paid, "train/policy_loss") == pytest.approx(-1.0)


def test_sequence_level_uses_the_geometric_mean_ratio() -> None:
    old = torch.tensor([[-1.0, -1.0, -1.0]])
    policy = torch.tensor([[-1.0 + 0.3, -1.0 - 0.1, -7.0]], requires_grad=True)
    out = grpo_loss(
        policy, old, ONE, torch.tensor([[1, 1, 0]]), torch.tensor([0.5]),
        importance_level="sequence",
    )  # fmt: skip
    ratio = math.exp((0.3 - 0.1) / 2)
    assert out.loss.item() == pytest.approx(-ratio, rel=1e-5)  # 2 tokens x 0.5 x ratio
    out.loss.backward()
    assert policy.grad is not None
    assert policy.grad[0].tolist() == pytest.approx([-ratio / 2, -ratio / 2, 0.0], rel=1e-5)


@pytest.mark.parametrize("normalization", [Normalization.TOKEN_MEAN, Normalization.SEQUENCE_MEAN])
def test_any_cut_into_micro_batches_gives_the_same_gradient(normalization: Normalization) -> None:
    policy = make_policy()
    rows = [[(4, 4)], [], [(4, 4), (2, 4)], [(2, 2)], [], [(4, 2)], [(4, 4)], [(2, 2), (2, 2)]]
    whole = make_batch(*rows, shared=True)
    weight = torch.tensor(
        token_weights(whole.loss_mask.sum(-1).tolist(), normalization=normalization)
    )
    with torch.no_grad():
        old = policy.response_logprobs(whole)[0]
        old = old + torch.randn(old.shape, generator=torch.Generator().manual_seed(0)) * 0.3

    def step(first: int, last: int) -> LossOutput:
        batch = replace(
            make_batch(*rows[first:last], shared=True),
            advantages=whole.advantages[first:last],
            token_weight=weight[first:last],
        )
        logprobs, _ = policy.response_logprobs(batch)
        out = grpo_loss(
            logprobs, old[first:last, : logprobs.shape[1]], batch.advantages, batch.loss_mask,
            batch.token_weight, kl_coef=0.1, ref_logprobs=old[first:last, : logprobs.shape[1]],
        )  # fmt: skip
        out.loss.backward()
        return out

    together = step(0, 8)
    expected = grads(policy)
    for size in (1, 3):
        parts = [step(first, min(first + size, 8)) for first in range(0, 8, size)]
        assert_same_grads(grads(policy), expected)
        assert sum(p.loss.item() for p in parts) == pytest.approx(together.loss.item(), abs=1e-6)
        for name, (total, num) in together.metrics.items():
            assert sum(p.metrics[name].total.item() for p in parts) == pytest.approx(
                total.item(), abs=1e-4
            )
            assert sum(p.metrics[name].num.item() for p in parts) == num.item()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"clip_low": 1.0}, "clip_low"),
        ({"clip_high": 0.0}, "clip_high"),
        ({"dual_clip": 1.2}, "dual_clip"),
        ({"kl_coef": 0.1}, "kl_coef"),
    ],
)
def test_settings_out_of_range_name_their_key(settings: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        one_token(1.0, 1.0, **settings)
