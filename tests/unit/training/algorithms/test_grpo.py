from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import assert_same_grads, grads, make_batch, make_policy
from tests.unit.training.algorithms.inputs import inputs, mean
from vigorl.core.advantages import Normalization
from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossOutput
from vigorl.training.algorithms.grpo import GRPO

ONE = torch.tensor([1.0])
MASK = torch.tensor([[1]])


def test_loss_and_metrics_by_hand() -> None:
    ratio = torch.tensor([[1.5, 1.0, 0.5, 9.0], [0.5, 4.0, 1.0, 9.0]])
    old = torch.full((2, 4), -1.0)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]])
    advantages, weight = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.5])
    policy = (old + ratio.log()).requires_grad_()
    out = GRPO().loss(inputs(policy, old, advantages, mask, weight, ref_logprobs=old))
    # -(1.28 + 1 + 0.5) + 0.5 * (0.8 + 3 + 1)
    assert out.loss.item() == pytest.approx(-2.78 + 2.4, abs=1e-5)
    assert out.maxima["train/ratio_max"].item() == pytest.approx(4.0, rel=1e-5)
    for name in ("clip/high_frac", "clip/low_frac", "clip/dual_frac"):
        assert mean(out, name) == pytest.approx(1 / 6)
    # k3: sum of r - 1 - log r over 1.5, 1, 0.5, 0.5, 4, 1
    expected = sum(r - 1 - math.log(r) for r in (1.5, 1.0, 0.5, 0.5, 4.0, 1.0)) / 6
    assert mean(out, "kl/old") == pytest.approx(expected, rel=1e-4)
    assert all(not total.requires_grad for total, _ in out.metrics.values())


def test_kl_coef_scales_the_reference_term_only() -> None:
    policy = torch.tensor([[-1.0]])
    given = inputs(
        policy, policy, ONE, MASK, torch.tensor([0.5]), ref_logprobs=torch.tensor([[-1.5]])
    )
    measured, paid = GRPO().loss(given), GRPO(kl_coef=0.1).loss(given)
    assert measured.loss.item() == pytest.approx(-0.5)
    assert paid.loss.item() == pytest.approx(-0.5 + 0.5 * 0.1 * 0.10653, abs=1e-6)
    assert mean(measured, "kl/ref") == mean(paid, "kl/ref") == pytest.approx(0.10653, abs=1e-5)
    assert mean(paid, "train/policy_loss") == pytest.approx(-1.0)


def test_each_token_has_its_own_advantage() -> None:
    policy = torch.full((1, 3), -1.0, requires_grad=True)
    mask, weight = torch.tensor([[1, 1, 1]]), torch.tensor([0.25])
    given = inputs(policy, policy.detach(), torch.tensor([[1.0, -2.0, 0.0]]), mask, weight)
    GRPO().loss(given).loss.backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == [[-0.25, 0.5, 0.0]]  # -w A, at a ratio of 1


@pytest.mark.parametrize("normalization", [Normalization.TOKEN_MEAN, Normalization.SEQUENCE_MEAN])
def test_any_cut_into_micro_batches_gives_the_same_gradient(normalization: Normalization) -> None:
    policy = make_policy()
    rows = [[(4, 4)], [], [(4, 4), (2, 4)], [(2, 2)], [], [(4, 2)], [(4, 4)], [(2, 2), (2, 2)]]
    whole = make_batch(*rows, shared=True)
    assert whole.advantages is not None
    noise = torch.randn(whole.input_ids.shape, generator=torch.Generator().manual_seed(0))
    advantages = whole.advantages + 0.5 * noise  # from token to token
    algorithm = GRPO(kl_coef=0.1, normalization=normalization)
    weight = torch.tensor(algorithm.token_weights(whole.loss_mask.sum(-1).tolist()))
    with torch.no_grad():
        old = policy.response_logprobs(whole)[0] + noise * 0.3

    def step(first: int, last: int) -> LossOutput:
        batch = make_batch(*rows[first:last], shared=True)
        logprobs, _ = policy.response_logprobs(batch)

        def part(values: Tensor) -> Tensor:
            return values[first:last, : logprobs.shape[1]]

        out = algorithm.loss(
            inputs(
                logprobs, part(old), part(advantages), batch.loss_mask, weight[first:last],
                ref_logprobs=part(old),
            )
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


def test_normalisation_weighs_tokens() -> None:
    assert GRPO().token_weights([1, 3]) == [0.25, 0.25]
    assert GRPO(normalization="sequence_mean").token_weights([2, 4]) == [0.25, 0.125]
    constant = GRPO(normalization="constant_length", constant_length=10)
    assert constant.token_weights([2, 4]) == [0.05, 0.05]  # 1 / (2 * 10)


def test_only_kl_needs_a_reference_and_samples_without_advantage() -> None:
    plain, with_kl = GRPO(), GRPO(kl_coef=0.01)
    assert (plain.needs_reference, plain.needs_zero_advantages, plain.needs_old) == (0, 0, 1)
    assert (with_kl.needs_reference, with_kl.needs_zero_advantages) == (True, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_low": 1.0}, "clip_low"),
        ({"dual_clip": 1.2}, "dual_clip"),
        ({"kl_coef": -0.1}, r"algorithm\.kl_coef"),
        ({"kl_coef": 0.1, "kl_estimator": "k4"}, r"algorithm\.kl_estimator .* k3, k3_corrected"),
        ({"kl_coef": 0.1, "kl_estimator": "k1"}, r"kl_estimator=k1 holds nothing"),
        ({"top_entropy_frac": 0.0}, r"algorithm\.top_entropy_frac must be above 0 and up"),
        ({"off_policy_threshold": math.nan}, r"off_policy_threshold must be a finite number"),
        ({"kl_estimator": "k3_corrected"}, r"kl_estimator has no effect with algorithm\.kl_coef=0"),
        ({"min_std": -0.1}, r"algorithm\.min_std"),
        ({"min_std": 0.1, "scale_by_std": False}, r"min_std has no effect"),
        ({"normalization": "batch_mean"}, "normalization must be one of token_mean"),
        ({"normalization": "constant_length"}, "needs constant_length"),
        ({"constant_length": 100}, "no effect with normalization=token_mean"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(GRPO(), **settings)
