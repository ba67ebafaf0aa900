from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.unit.training.algorithms.inputs import inputs, mean
from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossOutput
from vigorl.training.algorithms.gspo import GSPO

MASK = torch.tensor([[1, 1, 0]])
WEIGHT = torch.tensor(GSPO().token_weights([2]))  # 1 / 2


def step(changes: list[float], advantages: list[float]) -> tuple[LossOutput, list[float]]:
    """One sequence of two tokens, and one that is not learned from; loss, and slope by token."""
    old = torch.tensor([[-1.0, -1.0, -1.0]])
    policy: Tensor = (old + torch.tensor([changes])).requires_grad_()
    out = GSPO(clip_low=0.1, clip_high=0.2, wide_bounds=True).loss(
        inputs(policy, old, torch.tensor([advantages]), MASK, WEIGHT)
    )
    out.loss.backward()
    assert policy.grad is not None
    return out, policy.grad[0].tolist()


def test_the_ratio_is_the_sequences_geometric_mean() -> None:
    out, slopes = step([0.3, -0.1, -6.0], [1.0, 1.0, 1.0])
    ratio = math.exp((0.3 - 0.1) / 2)  # 1.105
    assert out.loss.item() == pytest.approx(-ratio, rel=1e-5)
    assert slopes == pytest.approx([-ratio / 2, -ratio / 2, 0.0], rel=1e-5)
    # measured per token, as with every algorithm
    assert out.maxima["train/ratio_max"].item() == pytest.approx(math.exp(0.3), rel=1e-5)
    # per token: (e^0.3 - 1 - 0.3 + e^-0.1 - 1 + 0.1) / 2, not k3 of the mean, 0.0052
    assert mean(out, "kl/old") == pytest.approx(0.02735, abs=1e-5)


def test_a_clip_holds_the_whole_sequence() -> None:
    out, slopes = step([0.7, -0.1, 0.0], [1.0, 1.0, 1.0])  # exp(0.3) = 1.35 > 1.2
    assert out.loss.item() == pytest.approx(-1.2)
    assert slopes == [0.0, 0.0, 0.0]
    assert mean(out, "clip/high_frac") == 1.0


def test_tokens_may_be_credited_one_by_one() -> None:
    _, slopes = step([0.1, -0.1, 0.0], [1.0, -3.0, 0.0])
    assert slopes == pytest.approx([-0.5, 1.5, 0.0])  # -w A, at a sequence ratio of 1


def test_every_sequence_counts_the_same() -> None:
    assert GSPO().token_weights([2, 4]) == [0.25, 0.125]


def test_bounds_are_the_papers_and_checked() -> None:
    assert (GSPO().clip_low, GSPO().clip_high, GSPO().needs_reference) == (3e-4, 4e-4, False)
    with pytest.raises(ConfigError, match="clip_high"):
        GSPO(clip_high=0.0)
