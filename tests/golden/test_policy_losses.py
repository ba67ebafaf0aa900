"""Loss and gradient of each algorithm against those of the libraries that others train with.

Source: `algorithms_vectors.json`, float64 numbers of TRL 1.16.0 (`GRPOTrainer._compute_loss`) and
verl 1dda039b9 (`core_algos`), rounded to 8 digits. Its `estimators` are compared where advantages
are tested, its `correction` is of another part.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vigorl.models.losses import KLEstimator, LossInputs, k3_kl, paid_kl
from vigorl.training.algorithms.cispo import CISPO
from vigorl.training.algorithms.dppo import DPPO
from vigorl.training.algorithms.dro import DRO
from vigorl.training.algorithms.gmpo import GMPO
from vigorl.training.algorithms.gpg import GPG
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.gspo import GSPO
from vigorl.training.algorithms.kl_cov import KLCov
from vigorl.training.algorithms.luspo import LUSPO
from vigorl.training.algorithms.policy_loss import PolicyLoss
from vigorl.training.algorithms.sapo import SAPO
from vigorl.training.algorithms.vespo import VESPO
from vigorl.training.marks import UpdateTokens

STORED = json.loads(Path(__file__).with_name("algorithms_vectors.json").read_text())
TRL, VERL = "TRL 1.16 _compute_loss", "verl compute_policy_loss_{}"

CASES: dict[tuple[str, str], PolicyLoss] = {
    ("ppo token mean (vigorl has)", TRL): GRPO(dual_clip=None),
    ("ppo token mean + 0.1 k3 (vigorl has)", TRL): GRPO(dual_clip=None, kl_coef=0.1),
    ("ppo token mean + 0.1 corrected k3", TRL): GRPO(
        dual_clip=None, kl_coef=0.1, kl_estimator="k3_corrected"
    ),
    ("cispo", TRL): CISPO(max_weight=5.0),
    ("cispo bound 1.2", TRL): CISPO(max_weight=1.2),
    ("sapo", TRL): SAPO(),
    ("gspo", TRL): GSPO(),
    ("luspo", TRL): LUSPO(),
    ("vespo", TRL): VESPO(),
    ("top entropy quantile 0.4", TRL): GRPO(dual_clip=None, top_entropy_frac=0.4),
    ("off-policy sequence mask, threshold -0.2 (so that row 3 is dropped)", TRL): GRPO(
        dual_clip=None, off_policy_threshold=-0.2
    ),
    ("cispo two-sided .2/.28", VERL.format("cispo")): CISPO(min_weight=0.8, max_weight=1.28),
    ("sapo", VERL.format("sapo")): SAPO(),
    ("gspo-token 3e-4/4e-4", VERL.format("gspo")): GSPO(),
    ("gmpo 0.4", VERL.format("geo_mean")): GMPO(),
    ("dppo tv 0.15, cap 20", VERL.format("dppo_tv")): DPPO(anchor="old"),
    ("dppo kl 0.2, cap 20", VERL.format("dppo_kl")): DPPO(
        anchor="old", divergence="kl", bound_low=0.2, bound_high=0.2
    ),
    ("gpg", VERL.format("gpg")): GPG(),
    ("kl-cov ratio 0.2 coef 1", VERL.format("kl_cov")): KLCov(cov_frac=0.2, cov_coef=1.0),
    ("dro beta 0.5", VERL.format("dro")): DRO(beta=0.5),
    ("ppo token-sum", VERL.format("vanilla")): GRPO(normalization="token_sum"),
    ("ppo seq-mean-token-sum", VERL.format("vanilla")): GRPO(normalization="sequence_sum"),
}  # every entry has a counterpart
KL_CASES = {f"kl {one}": one for one in KLEstimator if one != KLEstimator.K3_CORRECTED}


def given(name: str) -> Tensor:
    return torch.tensor(STORED["inputs"][name], dtype=torch.float64)


def micro_batch(policy: Tensor, algorithm: PolicyLoss | None = None) -> LossInputs:
    mask, logprobs = given("mask").bool(), given("logp")
    old = logprobs - given("log_ratio_new_minus_old")
    counts = [int(count) for count in mask.sum(-1)]
    weights = algorithm.token_weights(counts) if algorithm else [1 / sum(counts)] * len(counts)
    advantages, marks = given("advantages")[:, None] * mask, None
    if algorithm and algorithm.needs_marks:
        # verl's covariance is of the policy now; ours of the phase's start, where both are the same
        marks = torch.zeros_like(logprobs)
        marks[mask] = algorithm.marks(
            UpdateTokens(
                old_logprobs=logprobs[mask],
                entropy=given("entropy")[mask],
                advantages=advantages[mask],
                sequence=mask.nonzero()[:, 0],
            )
        ).double()
    return LossInputs(
        policy_logprobs=policy,
        old_logprobs=old,
        advantages=advantages,
        loss_mask=mask,
        token_weight=torch.tensor(weights, dtype=torch.float64),
        ref_logprobs=logprobs - given("logp_minus_ref"),
        sampling_logprobs=old - given("log_ratio_old_minus_sampling"),
        marks=marks,
    )


def test_every_stored_case_is_compared() -> None:
    assert [(one["card"], one["source"]) for one in STORED["losses"]] == list(CASES)
    assert {one["card"] for one in STORED["kl"]} == set(KL_CASES)


@pytest.mark.parametrize("stored", STORED["losses"], ids=lambda one: one["card"])
def test_loss_and_gradient_are_those_of_the_library(stored: dict[str, object]) -> None:
    algorithm = CASES[str(stored["card"]), str(stored["source"])]
    policy = given("logp").requires_grad_()
    out = algorithm.loss(micro_batch(policy, algorithm))
    out.loss.backward()
    assert policy.grad is not None
    assert out.loss.item() == pytest.approx(stored["loss"], abs=1e-8)
    expected = torch.tensor(stored["grad_logp"], dtype=torch.float64)
    torch.testing.assert_close(policy.grad, expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("stored", STORED["kl"], ids=lambda one: one["card"])
def test_value_and_gradient_of_a_kl_are_those_of_the_library(stored: dict[str, object]) -> None:
    policy = given("logp").requires_grad_()
    inputs = micro_batch(policy)
    assert inputs.ref_logprobs is not None
    k3 = k3_kl(policy, inputs.ref_logprobs, inputs.loss_mask)
    kl = paid_kl(inputs, KL_CASES[str(stored["card"])], k3=k3)
    mean = (kl * inputs.token_weight[:, None]).sum()
    mean.backward()
    assert policy.grad is not None
    assert mean.item() == pytest.approx(stored["value"], abs=1e-8)
    expected = torch.tensor(stored["grad_logp"], dtype=torch.float64)
    torch.testing.assert_close(policy.grad, expected, atol=1e-8, rtol=0)
