from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.models.losses import (
    Clip,
    KLEstimator,
    LossInputs,
    k3_kl,
    largest_ratio,
    log_ratio,
    policy_gradient_output,
    sequence_mean,
    sft_loss,
    shaped_imitation_loss,
)

ONE = torch.tensor([1.0])


def test_sft_loss_is_the_weighted_sum() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -9.0], [-4.0, -9.0, -9.0]], requires_grad=True)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    out = sft_loss(logprobs, mask, torch.tensor([0.25, 0.5]))
    assert out.loss.item() == pytest.approx(0.25 * (1 + 2) + 0.5 * 4)  # 2.75
    out.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.25, -0.25, 0], [-0.5, 0, 0]]
    assert tuple(map(float, out.metrics["train/nll"])) == (7.0, 3.0)


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
def test_clipped_loss_and_gradient_by_hand(
    ratio: float, advantage: float, loss: float, grad: float
) -> None:
    found, slope = clipped(ratio, advantage, dual=3.0)
    assert found == pytest.approx(loss, rel=1e-5)
    assert slope == pytest.approx(grad, rel=1e-5)


def clipped(ratio: float, advantage: float, *, dual: float | None) -> tuple[float, float]:
    """A token's loss, and its slope by the policy's logprob."""
    log = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss = Clip(low=0.2, high=0.28, dual=dual).loss(log.exp(), torch.tensor([[advantage]]))
    loss.sum().backward()
    assert log.grad is not None
    return loss.item(), log.grad.item()


def test_without_dual_clip_a_loved_bad_token_pulls_in_full() -> None:
    assert clipped(4.0, -2.0, dual=None) == pytest.approx((8.0, 8.0), rel=1e-5)


def test_metrics_count_each_clip_once() -> None:
    ratio = torch.tensor([[1.5, 1.0, 0.5], [0.5, 4.0, 1.0]])
    advantages = torch.tensor([[1.0] * 3, [-1.0] * 3])
    metrics = Clip(low=0.2, high=0.28, dual=3.0).metrics(ratio, advantages)
    assert metrics["clip/high_frac"].tolist() == [[1, 0, 0], [0, 0, 0]]  # 1.5 with A > 0
    assert metrics["clip/low_frac"].tolist() == [[0, 0, 0], [1, 0, 0]]  # 0.5 with A < 0
    assert metrics["clip/dual_frac"].tolist() == [[0, 0, 0], [0, 1, 0]]  # 4.0 with A < 0
    assert "clip/dual_frac" not in Clip(low=0.2, high=0.28).metrics(ratio, advantages)


@pytest.mark.parametrize(
    ("bounds", "key"),
    [
        ({"low": 1.0, "high": 0.28}, "clip_low"),
        ({"low": 0.2, "high": 0.0}, "clip_high"),
        ({"low": 0.2, "high": 0.28, "dual": 1.2}, "dual_clip"),
    ],
)
def test_bounds_out_of_range_name_their_key(bounds: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        Clip(**bounds)


def test_kl_is_zero_when_equal_and_k3_elsewhere() -> None:
    policy = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    ref = torch.tensor([[-1.0, -1.5, -0.5]])
    kl = k3_kl(policy, ref, torch.ones(1, 3))
    # d = 0, -0.5, 0.5: exp(d) - d - 1 = 0, 0.10653, 0.14872
    assert kl[0].tolist() == pytest.approx([0.0, 0.10653, 0.14872], abs=1e-5)
    kl.sum().backward()
    assert policy.grad is not None  # 1 - exp(d)
    assert policy.grad[0].tolist() == pytest.approx([0.0, 0.39347, -0.64872], abs=1e-5)


def slope_of_estimate(estimator: KLEstimator, logits: Tensor, old: Tensor, ref: Tensor) -> Tensor:
    """Of the loss at each choice of a distribution, weighted by how often `old` draws it."""
    logits = logits.clone().requires_grad_()
    policy = logits.log_softmax(-1)[:, None]  # [choices, 1]: a sequence of one token each
    inputs = LossInputs(
        policy_logprobs=policy,
        old_logprobs=old.log_softmax(-1)[:, None],
        advantages=torch.zeros_like(policy),
        loss_mask=torch.ones_like(policy),
        token_weight=old.softmax(-1),
        ref_logprobs=ref.log_softmax(-1)[:, None],
    )
    no_loss = torch.zeros_like(policy)
    out = policy_gradient_output(
        no_loss, inputs, kl_coef=1.0, kl_estimator=estimator, metrics={}, maxima={}
    )
    (slope,) = torch.autograd.grad(out.loss, logits)
    return slope


def slope_of_kl(logits: Tensor, ref: Tensor, *, of_reference: bool) -> Tensor:
    """Of KL(policy || reference), or the other way round, by the definition."""
    logits = logits.clone().requires_grad_()
    policy, ref = logits.log_softmax(-1), ref.log_softmax(-1)
    kl = ref.exp() @ (ref - policy) if of_reference else policy.exp() @ (policy - ref)
    (slope,) = torch.autograd.grad(kl, logits)
    return slope


def draws() -> tuple[Tensor, Tensor, Tensor]:
    """Logits over five choices: of policy, old policy and reference, far apart."""
    noise = torch.Generator().manual_seed(7)
    policy, old, ref = 1.5 * torch.randn(3, 5, generator=noise, dtype=torch.float64)
    return policy, old, ref


def test_the_corrected_estimator_has_the_gradient_of_the_kl_off_policy_too() -> None:
    policy, old, ref = draws()
    exact = slope_of_kl(policy, ref, of_reference=False)
    for sampled_by in (policy, old):
        found = slope_of_estimate(KLEstimator.K3_CORRECTED, policy, sampled_by, ref)
        torch.testing.assert_close(found, exact, atol=1e-12, rtol=1e-9)


def test_k3_has_the_gradient_of_the_kl_the_other_way_round() -> None:
    policy, _, ref = draws()
    found = slope_of_estimate(KLEstimator.K3, policy, policy, ref)
    torch.testing.assert_close(found, slope_of_kl(policy, ref, of_reference=True))
    exact = slope_of_kl(policy, ref, of_reference=False)
    assert torch.cosine_similarity(found, exact, dim=0) < 0.8
    near = policy + 0.02 * ref
    found = slope_of_estimate(KLEstimator.K3, near, near, policy)
    exact = slope_of_kl(near, policy, of_reference=False)
    assert torch.cosine_similarity(found, exact, dim=0) > 0.999


def test_the_corrected_estimator_pulls_a_token_back_that_was_given_up() -> None:
    policy = torch.tensor([[-90.0, -1.0]], requires_grad=True)
    inputs = LossInputs(
        policy_logprobs=policy, old_logprobs=policy.detach(), advantages=torch.zeros(1, 2),
        loss_mask=torch.tensor([[1, 0]]), token_weight=ONE, ref_logprobs=torch.full((1, 2), -1.0),
    )  # fmt: skip
    policy_gradient_output(
        torch.zeros(1, 2), inputs, kl_coef=1.0, metrics={}, maxima={},
        kl_estimator=KLEstimator.K3_CORRECTED,
    ).loss.backward()  # fmt: skip
    assert policy.grad is not None
    assert policy.grad.tolist() == [[-20.0, 0.0]]  # up, by log policy - log reference, held at 20


def test_kl_of_a_token_ends_at_ten_nats() -> None:
    policy = torch.tensor([[-1.0, -50.0]], requires_grad=True)
    ref = torch.tensor([[-40.0, -1.0]])
    kl = k3_kl(policy, ref, torch.ones(1, 2))
    assert kl.tolist() == [[10.0, 10.0]]
    kl.sum().backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == [[0.0, 0.0]]


def test_ratios_are_of_masked_tokens_and_end_at_twenty_nats() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    policy = torch.tensor([[-1.0, -50.0, -math.inf], [-1.0, -1.0, -1.0]])
    change = log_ratio(policy, torch.tensor([[-1.5, -1.0, -1.0]] * 2), mask)
    assert change.tolist() == [[0.5, -20.0, 0.0], [0.0, 0.0, 0.0]]
    assert sequence_mean(change, mask).tolist() == [[-9.75], [0.0]]  # (0.5 - 20) / 2
    assert largest_ratio(torch.tensor([[2.0, 3.0, 9.0], [9.0, 9.0, 9.0]]), mask).item() == 3.0


def test_weights_correct_the_policy_and_leave_the_kl_alone() -> None:
    logprobs = torch.tensor([[-1.0, -1.0, -1.0]])
    inputs = LossInputs(
        policy_logprobs=logprobs,
        old_logprobs=logprobs,
        advantages=logprobs,
        loss_mask=torch.tensor([[1, 1, 0]]),
        token_weight=torch.tensor([0.5]),
        ref_logprobs=logprobs - 0.5,
        importance_weights=torch.tensor([[2.0, 0.0, 5.0]]),
        entropy=torch.tensor([[0.25, 0.75, 9.0]]),
    )
    out = policy_gradient_output(
        torch.tensor([[3.0, 4.0, 7.0]]), inputs, kl_coef=0.1, metrics={}, maxima={}
    )
    # 0.5 * (2 * 3 + 0 * 4 + 0.1 * 2 * 0.10653)
    assert out.loss.item() == pytest.approx(3.0 + 0.1 * 0.10653, abs=1e-5)
    sums = {name: (total.item(), int(num)) for name, (total, num) in out.metrics.items()}
    assert sums == {
        "train/policy_loss": (6.0, 2),
        "kl/ref": (pytest.approx(2 * 0.10653, abs=1e-4), 2),
        "train/entropy": (1.0, 2),
    }


def test_shaped_imitation_and_its_gradient_by_hand() -> None:
    logprobs = torch.tensor([[0.1, 0.9, 0.5], [0.1, 0.5, 0.5]]).log().requires_grad_()
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    advantages = torch.tensor([[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]])
    weight = torch.tensor([0.5, 0.25])
    loss = shaped_imitation_loss(logprobs, advantages, mask, weight, gamma=0.1)
    # p / (p + 0.1): 0.5 and 0.9, and 0.5
    assert loss.item() == pytest.approx(-2 * 0.5 * (0.5 + 0.9) + 0.25 * 0.5)
    loss.backward()
    assert logprobs.grad is not None
    # d / d log p = 0.1 p / (p + 0.1)^2: 0.25 and 0.09
    wanted = [-0.25, -0.09, 0, 0.25 * 0.25, 0, 0]
    assert logprobs.grad.flatten().tolist() == pytest.approx(wanted)
