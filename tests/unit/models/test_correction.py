from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import assert_same_grads, grads, make_batch, make_policy
from tests.unit.training.algorithms.inputs import inputs
from vigorl.core.errors import ConfigError
from vigorl.models.correction import (
    RATIO_BUCKETS,
    ImportanceCorrection,
    importance_weights,
    sampling_gap_metrics,
)
from vigorl.models.losses import LossOutput, MetricSum
from vigorl.training.algorithms.grpo import GRPO

LEVELS = ("token", "sequence", "sequence_mean")
MODES = ("truncate", "mask")

# [2, 4]: two turns around an observation, and a shorter rollout; 9 stands where nothing counts
RATIOS = torch.tensor([[4.0, 0.25, 9.0, 1.5], [1.2, 0.4, 9.0, 9.0]])
MASK = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 0]])
SAMPLING = torch.full((2, 4), -3.0)


def weigh(ratios: Tensor = RATIOS, mask: Tensor = MASK, **settings: Any) -> list[list[float]]:
    sampling = SAMPLING[: len(ratios), : ratios.shape[1]]
    correction = ImportanceCorrection(**settings)
    found = importance_weights(sampling + ratios.log(), sampling, mask, correction=correction)
    return [[round(weight, 4) for weight in row] for row in found.weights.tolist()]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[2.0, 0.25, 1, 1.5], [1.2, 0.4, 1, 1]]),
        ({"cap_high": math.inf}, [[4.0, 0.25, 1, 1.5], [1.2, 0.4, 1, 1]]),
        ({"mode": "mask"}, [[0.0, 0.25, 1, 1.5], [1.2, 0.4, 1, 1]]),
        ({"mode": "mask", "cap_low": 0.3}, [[0.0, 0.0, 1, 1.5], [1.2, 0.4, 1, 1]]),
        # products: 4 * 0.25 * 1.5 = 1.5 and 1.2 * 0.4 = 0.48
        ({"level": "sequence"}, [[1.5, 1.5, 1, 1.5], [0.48, 0.48, 1, 1]]),
        ({"level": "sequence", "cap_high": 1.4}, [[1.4, 1.4, 1, 1.4], [0.48, 0.48, 1, 1]]),
        (
            {"level": "sequence", "mode": "mask", "cap_low": 0.5},
            [[1.5, 1.5, 1, 1.5], [0.0, 0.0, 1, 1]],
        ),
        # geometric means: 1.5 ** (1/3) = 1.1447 and 0.48 ** (1/2) = 0.6928
        ({"level": "sequence_mean"}, [[1.1447, 1.1447, 1, 1.1447], [0.6928, 0.6928, 1, 1]]),
    ],
)
def test_weights_by_hand(settings: dict[str, Any], expected: list[list[float]]) -> None:
    assert weigh(**settings) == expected


def test_ratios_at_a_cap_are_inside() -> None:
    # exact in binary: -3 + log is not, so the logprobs are given
    old, sampling = torch.tensor([[0.5, -0.5, 0.5]]), torch.zeros(1, 3)
    high, low = math.exp(0.5), math.exp(-0.5)
    correction = ImportanceCorrection(mode="mask", cap_low=low * 0.999, cap_high=high * 1.001)
    found = importance_weights(old, sampling, torch.ones(1, 3), correction=correction)
    assert not found.is_capped.any()
    tighter = ImportanceCorrection(mode="mask", cap_low=low * 1.001, cap_high=high * 1.001)
    found = importance_weights(old, sampling, torch.ones(1, 3), correction=tighter)
    assert found.is_capped.tolist() == [[False, True, False]]


def test_tokens_that_a_cap_changed_are_told_apart() -> None:
    old = SAMPLING + RATIOS.log()
    for settings, expected in (
        (ImportanceCorrection(), [[1, 0, 0, 0], [0, 0, 0, 0]]),
        (ImportanceCorrection(mode="mask", cap_low=0.3), [[1, 1, 0, 0], [0, 0, 0, 0]]),
        (ImportanceCorrection(level="sequence", cap_high=1.4), [[1, 1, 0, 1], [0, 0, 0, 0]]),
    ):
        assert (
            importance_weights(old, SAMPLING, MASK, correction=settings).is_capped.int().tolist()
            == expected
        )


@pytest.mark.parametrize("level", LEVELS)
def test_a_nil_gap_weighs_exactly_one_rollout_by_rollout(level: str) -> None:
    gap = torch.tensor([[9e-5, -9e-5, 5.0, 9e-5], [9e-5, 0.1, 5.0, 5.0]])
    correction = ImportanceCorrection(level=level)
    weights = importance_weights(SAMPLING + gap, SAMPLING, MASK, correction=correction).weights
    assert weights[0].tolist() == [1.0] * 4  # to the last bit
    # the second rollout has a gap of 0.1 in it, so that all of its tokens are corrected
    assert (weights[1, :2] > 1).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("gap", [400.0, -400.0, math.inf, -math.inf])
def test_weights_stay_finite(level: str, gap: float) -> None:
    old = torch.tensor([[-1.0, -1.0, math.nan]])
    sampling = torch.tensor([[-1.0 - gap, -1.0 - gap, -1.0]])
    correction = ImportanceCorrection(level=level, cap_high=math.inf)
    mask = torch.tensor([[1, 1, 0]])
    weights = importance_weights(old, sampling, mask, correction=correction).weights
    assert weights.tolist() == [pytest.approx([math.exp(math.copysign(20, gap))] * 2 + [1.0])]


def test_gaps_without_end_in_both_directions_cancel_over_a_rollout() -> None:
    sampling = torch.tensor([[-math.inf, 0.0]])
    old = torch.tensor([[0.0, -math.inf]])
    correction = ImportanceCorrection(level="sequence")
    weights = importance_weights(old, sampling, torch.ones(1, 2), correction=correction).weights
    assert weights.tolist() == [[1.0, 1.0]]  # 20 - 20 nats, not nan


def test_a_rollout_without_a_sampled_token_weighs_one() -> None:
    for level in LEVELS:
        assert weigh(mask=torch.zeros(2, 4), level=level) == [[1.0] * 4, [1.0] * 4]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"level": "turn"}, "level must be one of token, sequence, sequence_mean, got 'turn'"),
        ({"mode": "clip"}, "mode must be one of truncate, mask, got 'clip'"),
        ({"cap_high": 1.0}, "cap_high"),
        ({"cap_high": math.nan}, "cap_high"),
        ({"cap_low": 0.5}, "cap_low has no effect"),
        ({"mode": "mask", "cap_low": 0.0}, "cap_low"),
        ({"mode": "mask", "cap_low": 1.0}, "cap_low"),
        ({"min_gap": -1e-3}, "min_gap"),
    ],
)
def test_settings_that_cannot_be_name_their_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"importance_correction\.{key}"):
        ImportanceCorrection(**settings)


# ---- in the loss ---------------------------------------------------------------------------------


def loss_and_grad(
    weights: Tensor | None, *, ref: Tensor | None = None, kl_coef: float = 0.0
) -> tuple[LossOutput, Tensor]:
    """Of two rollouts at their old policy: d loss / d logprob = -w A W."""
    policy = (SAMPLING + RATIOS.log()).requires_grad_()
    given = inputs(
        policy, policy.detach(), torch.tensor([1.0, -2.0]), MASK, torch.tensor([0.5, 0.25]),
        importance_weights=weights, ref_logprobs=ref,
    )  # fmt: skip
    out = GRPO(kl_coef=kl_coef).loss(given)
    out.loss.backward()
    assert policy.grad is not None
    return out, policy.grad


def test_weights_multiply_the_policy_gradient() -> None:
    correction = ImportanceCorrection(mode="mask", cap_low=0.3)
    old = SAMPLING + RATIOS.log()
    weights = importance_weights(old, SAMPLING, MASK, correction=correction).weights
    out, grad = loss_and_grad(weights)
    # -0.5 * 1 * (0, 0, -, 1.5) and 0.25 * 2 * (1.2, 0.4, -, -)
    expected = torch.tensor([[0.0, 0.0, 0.0, -0.75], [0.6, 0.2, 0.0, 0.0]])
    torch.testing.assert_close(grad, expected)
    assert out.loss.item() == pytest.approx(-0.75 + 0.8)
    total, num = out.metrics["train/policy_loss"]
    assert (total.item(), num.item()) == (pytest.approx(-1.5 + 2 * 1.6), 5)


def test_weights_leave_the_kl_alone() -> None:
    ref = SAMPLING - 0.3
    plain, plain_grad = loss_and_grad(None, ref=ref, kl_coef=0.1)
    none, none_grad = loss_and_grad(torch.zeros(2, 4), ref=ref, kl_coef=0.1)
    _, policy_grad = loss_and_grad(None)
    torch.testing.assert_close(none_grad, plain_grad - policy_grad)
    assert none_grad.abs().sum() > 0
    assert none.metrics["kl/ref"] == plain.metrics["kl/ref"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", MODES)
def test_without_a_gap_the_gradient_is_that_without_correction(level: str, mode: str) -> None:
    old = SAMPLING + RATIOS.log()
    rounding = torch.tensor([1e-6, -1e-6, 3.0, 1e-6])
    correction = ImportanceCorrection(level=level, mode=mode)
    weights = importance_weights(old, old + rounding, MASK, correction=correction).weights
    corrected, plain = loss_and_grad(weights), loss_and_grad(None)
    assert torch.equal(corrected[1], plain[1])
    assert torch.equal(corrected[0].loss, plain[0].loss)


def test_no_gradient_flows_through_the_weights() -> None:
    policy = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    mask, correction = torch.ones(1, 2), ImportanceCorrection(level="sequence", cap_high=math.inf)
    weights = importance_weights(
        policy, torch.tensor([[-1.5, -2.2]]), mask, correction=correction
    ).weights
    assert not weights.requires_grad


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", MODES)
def test_any_cut_into_micro_batches_gives_the_same_gradient_and_metrics(
    level: str, mode: str
) -> None:
    policy = make_policy()
    rows = [[(4, 4)], [], [(4, 4), (2, 4)], [(2, 2)], [], [(4, 2)]]
    whole = make_batch(*rows, shared=True)
    noise = torch.randn(whole.input_ids.shape, generator=torch.Generator().manual_seed(0))
    noise[1] = 0.0  # a rollout whose gap is nil, beside others
    with torch.no_grad():
        sampling = policy.response_logprobs(whole)[0] + noise
    correction = ImportanceCorrection(level=level, mode=mode, cap_high=1.5)

    def step(first: int, last: int) -> Mapping[str, MetricSum]:
        batch = make_batch(*rows[first:last], shared=True)
        logprobs, _ = policy.response_logprobs(batch)
        old, engine = logprobs.detach(), sampling[first:last, : logprobs.shape[1]]
        weights = importance_weights(old, engine, batch.loss_mask, correction=correction).weights
        advantages = torch.linspace(-1, 1, 6)[first:last]
        given = inputs(
            logprobs, old, advantages, batch.loss_mask,
            whole.token_weight[first:last], importance_weights=weights,
        )  # fmt: skip
        GRPO().loss(given).loss.backward()
        return sampling_gap_metrics(old, engine, batch.loss_mask)[0]

    together = step(0, 6)
    expected = grads(policy)
    parts = [step(first, first + 2) for first in (0, 2, 4)]
    assert_same_grads(grads(policy), expected)
    for name, (total, num) in together.items():
        assert sum(part[name].total.item() for part in parts) == pytest.approx(total.item())
        assert sum(part[name].num.item() for part in parts) == num.item()


# ---- unbiasedness, by enumeration ----------------------------------------------------------------

NUM_IDS = 3
ROLLOUTS = list(product(range(NUM_IDS), repeat=2))  # all of two tokens
REWARDS = torch.tensor([0.3, -1.0, 0.7, 2.0, 0.1, -0.4, 1.1, -0.6, 0.9])


def autoregressive(logits: Tensor) -> Tensor:
    """[rollouts, 2] logprobs; row 0 of logits says the first token, row 1 + i what follows i."""
    table = logits.log_softmax(-1)
    return torch.stack([torch.stack([table[0, a], table[1 + a, b]]) for a, b in ROLLOUTS])


def policy_and_sampler() -> tuple[Tensor, Tensor]:
    noise = torch.Generator().manual_seed(1)
    logits = torch.randn(1 + NUM_IDS, NUM_IDS, generator=noise, dtype=torch.float64)
    gap = torch.randn(1 + NUM_IDS, NUM_IDS, generator=noise, dtype=torch.float64)
    return logits.requires_grad_(), autoregressive(logits.detach() + 0.5 * gap)


def exact_gradient() -> Tensor:
    """Of the expected reward under the policy itself."""
    logits, _ = policy_and_sampler()
    (autoregressive(logits).sum(-1).exp() * REWARDS).sum().backward()
    assert logits.grad is not None
    return logits.grad


def expected_gradient(weigh: Callable[[Tensor, Tensor], Tensor | None]) -> Tensor:
    """Of minus the loss, over all rollouts as often as the SAMPLER draws them."""
    logits, sampling = policy_and_sampler()
    logprobs = autoregressive(logits)
    given = inputs(
        logprobs, logprobs.detach(), REWARDS.double(), torch.ones(len(ROLLOUTS), 2),
        sampling.sum(-1).exp(), importance_weights=weigh(logprobs.detach(), sampling),
    )  # fmt: skip
    GRPO().loss(given).loss.backward()
    assert logits.grad is not None
    return -logits.grad


def corrected_at(level: str, cap_high: float = math.inf) -> Callable[[Tensor, Tensor], Tensor]:
    correction = ImportanceCorrection(level=level, cap_high=cap_high)
    mask = torch.ones(len(ROLLOUTS), 2)
    return lambda old, sampling: (
        importance_weights(old, sampling, mask, correction=correction).weights
    )


def test_the_sequence_level_is_unbiased() -> None:
    exact = exact_gradient()
    torch.testing.assert_close(expected_gradient(corrected_at("sequence")), exact)
    uncorrected = (expected_gradient(lambda *_: None) - exact).norm()
    assert uncorrected > 0.1 * exact.norm()  # else there was nothing to correct


def test_the_token_level_is_unbiased_for_one_token_only() -> None:
    logits = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64, requires_grad=True)
    sampling = torch.tensor([0.1, 0.4, -0.3], dtype=torch.float64).log_softmax(-1)[:, None]
    reward = REWARDS[:NUM_IDS].double()
    (exact,) = torch.autograd.grad((logits.softmax(-1) * reward).sum(), logits)
    old, mask = logits.log_softmax(-1)[:, None], torch.ones(NUM_IDS, 1)
    correction = ImportanceCorrection(level="token", cap_high=math.inf)
    weights = importance_weights(old, sampling, mask, correction=correction).weights
    weight = sampling[:, 0].exp()
    given = inputs(old, old.detach(), reward, mask, weight, importance_weights=weights)
    out = GRPO().loss(given)
    torch.testing.assert_close(torch.autograd.grad(-out.loss, logits)[0], exact)

    exact_of_two = exact_gradient()
    bias = (expected_gradient(corrected_at("token")) - exact_of_two).norm()
    uncorrected = (expected_gradient(lambda *_: None) - exact_of_two).norm()
    assert 1e-3 * exact_of_two.norm() < bias < uncorrected


def test_a_cap_costs_bias() -> None:
    exact = exact_gradient()
    capped = (expected_gradient(corrected_at("sequence", cap_high=1.2)) - exact).norm()
    assert 1e-3 * exact.norm() < capped < (expected_gradient(lambda *_: None) - exact).norm()


# ---- metrics -------------------------------------------------------------------------------------


def gap_metrics(ratios: list[float]) -> tuple[dict[str, float], dict[str, Tensor]]:
    log_ratio = torch.tensor([ratios]).log()
    sampling = torch.full_like(log_ratio, -2.0)
    sums, maxima = sampling_gap_metrics(sampling + log_ratio, sampling, torch.ones(1, len(ratios)))
    return {name: (total / num).item() for name, (total, num) in sums.items()}, maxima


def test_ratios_are_counted_in_buckets() -> None:
    means, maxima = gap_metrics([0.1, 0.6, 0.7, 0.9, 1.0, 1.0, 1.0, 1.1, 1.9, 50.0])
    found = [means[f"sampling_ratio/{bucket}_frac"] for bucket in RATIO_BUCKETS]
    assert found == pytest.approx([0.1, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1])
    assert maxima["kl/sampling_gap_max"].item() == pytest.approx(math.log(50), rel=1e-5)
    assert means["kl/sampling_vs_train"] == pytest.approx(
        sum(r - 1 - math.log(r) for r in (0.1, 0.6, 0.7, 0.9, 1.1, 1.9, 50.0)) / 10, rel=1e-4
    )


def test_only_sampled_tokens_are_counted() -> None:
    sums, maxima = sampling_gap_metrics(SAMPLING + RATIOS.log(), SAMPLING, MASK)
    # 4, 0.25, 1.5, 1.2, 0.4; not the 9s
    counts = {name: total.item() for name, (total, _) in sums.items() if name.startswith("samp")}
    assert list(counts.values()) == [2, 0, 0, 0, 1, 1, 1]
    assert {num.item() for _, num in sums.values()} == {5}
    assert maxima["kl/sampling_gap_max"].item() == pytest.approx(math.log(4), rel=1e-5)


def test_bucket_names_are_fixed_and_names_to_mlflow() -> None:
    assert RATIO_BUCKETS == (
        "below_0.5", "0.5_to_0.8", "0.8_to_0.95", "0.95_to_1.05",
        "1.05_to_1.25", "1.25_to_2", "above_2",
    )  # fmt: skip
    assert all(re.fullmatch(r"[\w./ -]+", name) for name in RATIO_BUCKETS)
