from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossInputs
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.kl_schedule import CosineKL


def test_the_price_falls_as_a_cosine() -> None:
    factors = [CosineKL().factor(progress) for progress in (0.0, 0.5, 1.0)]
    assert factors == pytest.approx([1.0, 0.5, 0.0])
    assert CosineKL(end=0.2).factor(1.0) == pytest.approx(0.2)
    with pytest.raises(ConfigError, match=r"kl_schedule.end must be in \[0, 1\]"):
        CosineKL(end=2)


def test_the_factor_multiplies_the_kl_alone() -> None:
    logprobs = torch.tensor([[-1.0, -2.0]])
    inputs = LossInputs(
        policy_logprobs=logprobs,
        old_logprobs=logprobs,
        advantages=torch.tensor([[0.5, 0.5]]),
        loss_mask=torch.ones(1, 2),
        token_weight=torch.tensor([0.5]),
        ref_logprobs=logprobs - 1,
    )
    algorithm = GRPO(kl_coef=0.1)
    free, full, half = (
        algorithm.loss(replace(inputs, kl_factor=factor)).loss for factor in (0.0, 1.0, 0.5)
    )
    assert full == algorithm.loss(inputs).loss
    assert full > free
    assert half == pytest.approx((free + full) / 2)
