from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders import rollout, view
from vigorl.core.errors import ConfigError
from vigorl.core.media import GaussianNoise
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import LossInputs
from vigorl.training.algorithms.vogue import VOGUE
from vigorl.training.signals.visual_uncertainty import VisualUncertainty

MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def inputs(**changes: Any) -> LossInputs:
    zeros = torch.zeros(2, 3)
    given: dict[str, Any] = {
        "policy_logprobs": zeros,
        "old_logprobs": zeros,
        "advantages": torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, 1.0]]),
        "loss_mask": MASK,
        "token_weight": torch.ones(2),
        "signals": {"visual_uncertainty": torch.tensor([[0.1, 5.0, 5.0], [0.0, 0.0, 5.0]])},
        "entropy": torch.tensor([[0.5, 9.0, 1.0], [9.0, 9.0, 9.0]]),
    }
    return LossInputs(**(given | changes))


def test_bonuses_are_capped_and_of_the_noisy_branch_alone() -> None:
    found = VOGUE().advantages(inputs())
    # 1 + 0.1 + 0.4 * 0.5;  -1 + 0.5 + 0.5 (both capped at half);  no advantage, no bonus;
    # the second rollout saw no noise: its only value above 0 is not learned from
    assert found.tolist() == [pytest.approx([1.3, 0.0, 0.0]), [1.0, 1.0, 1.0]]
    assert VOGUE().loss(inputs()).loss.item() == pytest.approx(-(1.3 + 2.0))


def test_what_it_needs_is_asked_for() -> None:
    assert (VOGUE().needs_signals, VOGUE().gradient_signals) == (("visual_uncertainty",), ())
    with pytest.raises(ConfigError, match=r"turns a bad token good; got 1\.5 and 2"):
        VOGUE(uncertainty_cap=1.5)


def test_uncertainty_is_the_symmetric_kl_of_sampled_tokens() -> None:
    torch.manual_seed(0)
    noisy, clean = (0.5 * torch.randn(2, 5, dtype=torch.float64)).log_softmax(-1)
    found = VisualUncertainty().values(clean[None], noisy[None], torch.ones(1, 5).bool())
    expected = ((noisy.exp() - clean.exp()) * (noisy - clean)).sum() / 2
    assert float((noisy.exp() * found[0]).sum()) == pytest.approx(float(expected))
    assert VisualUncertainty().factors(found, MASK.bool()) is None


def test_clean_pictures_stay_and_noisy_ones_become_clean() -> None:
    one, noise = rollout(), GaussianNoise(1.0, 0.4, 1)
    sample = TrainingSample(one.token_ids, one.loss_mask, views=(view().edited(noise), view()))
    assert VisualUncertainty().views(sample) == (view(), view())
