"""Loss and gradient of each algorithm against those of the libraries that others train with.

Source: `policy_losses.json`, float64 numbers of TRL 1.16.0 (`GRPOTrainer._compute_loss`) and verl
1dda039b9 (`compute_policy_loss_gspo`). verl's PPO rows have no other numbers than TRL's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vigorl.models.losses import KLEstimator, LossInputs
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.gspo import GSPO
from vigorl.training.algorithms.protocol import Algorithm

STORED = json.loads(Path(__file__).with_name("policy_losses.json").read_text())
CASES: dict[str, Algorithm] = {
    "grpo": GRPO(dual_clip=None),
    "grpo + 0.1 k3": GRPO(dual_clip=None, kl_coef=0.1),
    "grpo + 0.1 corrected k3": GRPO(
        dual_clip=None, kl_coef=0.1, kl_estimator=KLEstimator.K3_CORRECTED
    ),
    "gspo (trl)": GSPO(),
    "gspo-token (verl)": GSPO(),
}


def test_every_stored_case_is_compared() -> None:
    assert [one["case"] for one in STORED["losses"]] == list(CASES)


@pytest.mark.parametrize("stored", STORED["losses"], ids=lambda one: one["case"])
def test_loss_and_gradient_are_those_of_the_library(stored: dict[str, object]) -> None:
    def given(name: str) -> Tensor:
        return torch.tensor(STORED["inputs"][name], dtype=torch.float64)

    algorithm = CASES[str(stored["case"])]
    policy, mask = given("logp").requires_grad_(), given("mask")
    counts = [int(count) for count in mask.sum(-1)]
    out = algorithm.loss(
        LossInputs(
            policy_logprobs=policy,
            old_logprobs=given("logp") - given("log_ratio_new_minus_old"),
            advantages=given("advantages")[:, None] * mask,
            loss_mask=mask,
            token_weight=torch.tensor(algorithm.token_weights(counts), dtype=torch.float64),
            ref_logprobs=given("logp") - given("logp_minus_ref"),
        )
    )
    out.loss.backward()
    assert policy.grad is not None
    assert out.loss.item() == pytest.approx(stored["loss"], abs=1e-8)
    expected = torch.tensor(stored["grad_logp"], dtype=torch.float64)
    torch.testing.assert_close(policy.grad, expected, atol=1e-8, rtol=0)
