"""What each loss is for, by hand on single tokens, and what its settings refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.training.algorithms.inputs import inputs, mean
from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossOutput
from vigorl.training.algorithms.cispo import CISPO
from vigorl.training.algorithms.clip_cov import ClipCov
from vigorl.training.algorithms.dppo import DPPO
from vigorl.training.algorithms.dro import DRO
from vigorl.training.algorithms.gmpo import GMPO
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.gspo import GSPO
from vigorl.training.algorithms.kl_cov import KLCov
from vigorl.training.algorithms.luspo import LUSPO
from vigorl.training.algorithms.papo import PAPO
from vigorl.training.algorithms.policy_loss import PolicyLoss, is_top
from vigorl.training.algorithms.reinforce import REINFORCE
from vigorl.training.algorithms.sapo import SAPO
from vigorl.training.algorithms.vespo import VESPO
from vigorl.training.algorithms.vppo import VPPO
from vigorl.training.marks import UpdateTokens


def step(
    algorithm: PolicyLoss, ratios: list[float], advantage: float, **fields: Any
) -> tuple[LossOutput, list[float]]:
    """One sequence whose tokens weigh 1 each, old logprobs -1; loss, and slope by token."""
    old = torch.full((1, len(ratios)), -1.0, dtype=torch.float64)
    policy = (old + torch.tensor([ratios]).double().log()).requires_grad_()
    out = algorithm.loss(
        inputs(
            policy, old, torch.tensor([advantage]).double(), torch.ones_like(old),
            torch.ones(1).double(), **fields,
        )
    )  # fmt: skip
    out.loss.backward()
    assert policy.grad is not None
    return out, policy.grad[0].tolist()


def test_cispo_bounds_a_weight_and_cuts_no_gradient() -> None:
    out, slopes = step(CISPO(max_weight=5.0), [1.0, 7.0, 0.1], 2.0)
    assert slopes == pytest.approx([-2.0, -10.0, -0.2])  # -A min(r, 5); PPO's second would be 0
    assert mean(out, "clip/high_frac") == pytest.approx(1 / 3)


def test_sapo_has_the_slope_of_the_ratio_at_one_and_fades() -> None:
    _, slopes = step(SAPO(), [1.0, 3.0], 1.0)
    gate = 1 / (1 + math.exp(-2))
    assert slopes == pytest.approx([-1.0, -4 * gate * (1 - gate) * 3])


def test_gmpo_holds_tokens_before_their_mean() -> None:
    # log ratios 1 and 0, held at 0.4 and 0: w = exp(0.2); only the second token has a slope
    out, slopes = step(GMPO(), [math.e, 1.0], 1.0)
    assert out.loss.item() == pytest.approx(-2 * math.exp(0.2))
    assert slopes == pytest.approx([0.0, -math.exp(0.2)])


@pytest.mark.parametrize(("divergence", "bound"), [("tv", 0.15), ("kl", 0.05)])
def test_dppo_looks_at_the_probability_and_not_at_its_ratio(divergence: str, bound: float) -> None:
    algorithm = DPPO(divergence=divergence, bound_low=bound, bound_high=bound)

    def slope(was: float, now: float, advantage: float) -> float:
        old, policy = torch.tensor([[was]]).double().log(), torch.tensor([[now]]).double().log()
        policy.requires_grad_()
        one = torch.ones(1, 1).double()
        given = inputs(policy, policy.detach(), advantage * one, one, one[0], sampling_logprobs=old)
        algorithm.loss(given).loss.backward()
        assert policy.grad is not None
        return policy.grad.item()

    assert slope(0.001, 0.003, 1.0) == pytest.approx(-3.0)  # a ratio of 3, and nothing has moved
    assert slope(0.99, 0.7, -1.0) == 0.0  # a ratio of 0.71, and far away
    assert slope(0.99, 0.7, 1.0) == pytest.approx(-0.7 / 0.99)  # on its way back
    assert slope(1e-6, 1e-4, 1.0) == pytest.approx(-20.0)  # a ratio of 100


def test_vespo_weighs_sequences_by_the_product() -> None:
    anchored = torch.full((1, 2), -1.0, dtype=torch.float64)
    for advantage, k, rate in ((1.0, 2.0, 3.0), (-1.0, 3.0, 2.0)):
        _, slopes = step(VESPO(), [1.5, 0.5], advantage)  # W = 0.75
        phi = math.exp(rate + k * math.log(0.75) - rate * 0.75)
        assert slopes == pytest.approx([-advantage * phi] * 2)
    _, slopes = step(VESPO(anchor="rollout"), [1.0, 1.0], 1.0, sampling_logprobs=anchored)
    assert slopes == pytest.approx([-1.0, -1.0])


def test_reinforce_corrects_for_the_engine_up_to_its_cap() -> None:
    sampled = torch.full((1, 2), -1.0, dtype=torch.float64) - torch.tensor([[0.2, 3.0]])
    _, slopes = step(REINFORCE(), [1.0, 1.0], 1.0, sampling_logprobs=sampled)
    assert slopes == pytest.approx([-math.exp(0.2), -2.0])
    _, slopes = step(REINFORCE(max_weight=None), [1.0, 1.0], 1.0)
    assert slopes == pytest.approx([-1.0, -1.0])
    assert not REINFORCE().needs_old
    with pytest.raises(ConfigError, match="the engine that sampled, which must say"):
        step(REINFORCE(), [1.0], 1.0)


def test_a_rollout_that_the_policy_has_left_teaches_nothing_bad() -> None:
    algorithm, sampled = GRPO(off_policy_threshold=0.5), torch.full((1, 2), -0.2).double()
    out, slopes = step(algorithm, [1.0, 1.0], -1.0, sampling_logprobs=sampled)  # 0.8 nats away
    assert slopes == [0.0, 0.0]
    assert mean(out, "train/kept_frac") == 0.0
    assert step(algorithm, [1.0, 1.0], 1.0, sampling_logprobs=sampled)[1] == [-1.0, -1.0]
    assert step(algorithm, [1.0, 1.0], -1.0, sampling_logprobs=sampled - 0.4)[1] == [1.0, 1.0]


def test_only_tokens_of_the_highest_entropy_teach_but_all_pay_the_kl() -> None:
    algorithm = GRPO(top_entropy_frac=0.5, kl_coef=1.0, kl_estimator="k2")
    assert algorithm.needs_marks
    marks = algorithm.marks(tokens(entropy=[0.1, 3.0, 0.5, 2.0]))
    assert marks.tolist() == [0.0, 1.0, 0.0, 1.0]
    ref = torch.full((1, 4), -1.5, dtype=torch.float64)
    out, slopes = step(algorithm, [1.0] * 4, 1.0, marks=marks[None], ref_logprobs=ref)
    assert slopes == pytest.approx([0.5, -0.5, 0.5, -0.5])  # k2: log policy - log reference
    assert mean(out, "train/kept_frac") == 0.5


@pytest.mark.parametrize("frac", [0.2, 0.37, 0.5, 1.0])
def test_the_quantile_is_that_of_torch(frac: float) -> None:
    values = torch.rand(100, generator=torch.Generator().manual_seed(0))
    threshold = values.double().quantile(1 - frac)
    assert torch.equal(is_top(values, frac), values >= threshold)


def tokens(
    *,
    entropy: list[float] | None = None,
    advantages: list[float] | None = None,
    logprobs: list[float] | None = None,
    **fields: Any,
) -> UpdateTokens:
    given = entropy or advantages or logprobs or [0.0] * len(fields["sequence"])
    zeros = [0.0] * len(given)

    def made(values: list[float] | None) -> Tensor:
        return torch.tensor(values or zeros)

    return UpdateTokens(
        old_logprobs=made(logprobs), entropy=made(entropy), advantages=made(advantages),
        **({"sequence": torch.zeros(len(given), dtype=torch.long)} | fields),
    )  # fmt: skip


# advantages 1, 1, -1, -1 and logprobs of mean -2.5: covariances 2.4, -2.4, -2.4, 2.4
RELATED = {"advantages": [1.0, 1.0, -1.0, -1.0], "logprobs": [-0.1, -4.9, -0.1, -4.9]}


def test_clip_cov_draws_among_tokens_that_go_together() -> None:
    drawn = [
        ClipCov(cov_frac=0.25).marks(tokens(**RELATED, seed=seed)).tolist() for seed in range(8)
    ]
    assert {tuple(one) for one in drawn} == {(0.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 0.0)}
    assert ClipCov(cov_low=2.5).marks(tokens(**RELATED)).tolist() == [1.0] * 4
    _, slopes = step(ClipCov(), [1.0, 1.0], 1.0, marks=torch.tensor([[0.0, 1.0]]))
    assert slopes == [0.0, -1.0]


def test_kl_cov_lets_them_pay_for_moving() -> None:
    assert KLCov(cov_frac=0.5).marks(tokens(**RELATED)).tolist() == [1.0, 0.0, 0.0, 1.0]
    marks = torch.tensor([[1.0, 0.0, 1.0]])
    _, slopes = step(KLCov(cov_coef=0.25), [2.0, 2.0, 0.5], 1.0, marks=marks)
    assert slopes == pytest.approx([-1.75, -2.0, -0.75])  # -r A, and back to 1 by 0.25


def test_vppo_weighs_rollouts_by_what_they_owe_to_the_pictures() -> None:
    sequence = torch.tensor([0, 0, 1, 2])
    seen = torch.tensor([1.0, 3.0, 5.0, 0.0])  # means 2, 5, 0: places 0.4, 1, 0 of mean 1.4 / 3
    marks = VPPO().marks(tokens(sequence=sequence, signals={"visual_dependency": seen}))
    unit = 0.1 / (1.4 / 3)
    assert marks.tolist() == pytest.approx([0.9 + 0.4 * unit] * 2 + [0.9 + unit, 0.9])
    equal = torch.ones(4)
    even = VPPO().marks(tokens(sequence=sequence, signals={"visual_dependency": equal}))
    assert even.tolist() == [1.0] * 4
    _, slopes = step(VPPO(), [1.0], 1.0, marks=torch.tensor([[0.95]]))
    assert slopes == pytest.approx([-0.95 - 0.06])


def test_papo_is_paid_for_another_answer_without_the_picture() -> None:
    masked = torch.full((1, 2), -3.0, dtype=torch.float64, requires_grad=True)
    algorithm = PAPO(perception_coef=0.02, double_entropy_coef=0.05)
    out, slopes = step(algorithm, [1.0, 1.0], 1.0, changed_logprobs={"visual_dependency": masked})
    d = -2.0  # log masked - log policy
    kl = math.exp(d) - d - 1
    assert mean(out, "papo/kl") == pytest.approx(kl)
    assert out.loss.item() == pytest.approx(2 * (-1 - 0.02 * kl + 0.05 * (1 + 3)))
    assert slopes == pytest.approx([-1 - 0.02 * (1 - math.exp(d)) - 0.05] * 2)
    assert masked.grad is not None
    assert masked.grad[0].tolist() == pytest.approx([-0.02 * (math.exp(d) - 1) - 0.05] * 2)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (GSPO, {"clip_low": 0.2}, "bounds of a token's ratio"),
        (GSPO, {"wide_bounds": True}, "wide_bounds has no effect"),
        (GSPO, {"normalization": "token_mean"}, "another gradient than GSPO's"),
        (LUSPO, {"normalization": "sequence_mean"}, "not LUSPO's"),
        (GMPO, {"normalization": "token_mean"}, "another gradient than GMPO's"),
        (GMPO, {"clip_low": 0.0}, "clip_low must be a finite number above 0"),
        (CISPO, {"min_weight": 1.5}, r"algorithm\.min_weight must be a share, from 0 to 1"),
        (CISPO, {"anchor": "reference"}, r"algorithm\.anchor must be one of old, rollout"),
        (SAPO, {"tau_negative": 0.0}, r"algorithm\.tau_negative"),
        (VESPO, {"k_positive": 0.0}, r"algorithm\.k_positive"),
        (DPPO, {"divergence": "js"}, r"algorithm\.divergence must be one of tv, kl"),
        (DPPO, {"max_ratio": 1.0}, r"algorithm\.max_ratio"),
        (REINFORCE, {"max_weight": 0.5}, r"algorithm\.max_weight"),
        (DRO, {"beta": 0.0}, r"algorithm\.beta"),
        (ClipCov, {"cov_low": 5.0}, r"algorithm\.cov_low below"),
        (ClipCov, {"top_entropy_frac": 0.2}, "both choose tokens"),
        (KLCov, {"cov_coef": 0.0}, r"algorithm\.cov_coef"),
        (VPPO, {"min_factor": 0.0}, r"algorithm\.min_factor"),
        (VPPO, {"top_entropy_frac": 0.2}, r"visual_dependency\.top_frac"),
        (PAPO, {"perception_coef": 0.0}, r"algorithm\.perception_coef"),
    ],
)
def test_settings_without_meaning_are_refused_with_the_reason(
    kind: type[PolicyLoss], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**settings)
