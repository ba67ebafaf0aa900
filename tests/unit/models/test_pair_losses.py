"""Losses of pairs by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from vigorl.core.errors import ConfigError
from vigorl.models.pair_losses import PairInputs, PairLoss, RunningShift


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def one_pair() -> PairInputs:
    """Chosen: -3 nats against -4, so r = 0.5 * 1. Rejected: -4 against -2, so r = 0.5 * -2."""
    return PairInputs(
        policy_logprobs=torch.tensor([[-1.0, -2.0], [-4.0, -math.inf]], requires_grad=True),
        ref_logprobs=torch.tensor([[-1.5, -2.5], [-2.0, -7.0]]),
        loss_mask=torch.tensor([[1, 1], [1, 0]]),
        token_weight=torch.tensor([0.5, 0.5]),  # two chosen tokens in the optimizer batch
        pair_weight=1.0,
        shift=0.25,
    )


WEIGHTS = ("dpo_weight", "bco_weight", "nll_weight")
DPO = -math.log(sigmoid(0.5 - -1.0))  # 0.2014
BCO = -math.log(sigmoid(0.5 - 0.25)) - math.log(sigmoid(0.25 - -1.0))  # 0.8279
NLL = (1.0 + 2.0) / 2


@pytest.mark.parametrize(
    ("weights", "value", "chosen_slope", "rejected_slope"),
    [
        # d r / d logprob = beta = 0.5; d -log s(x) / d x = -s(-x)
        ((1.0, 0.0, 0.0), DPO, -0.5 * sigmoid(-1.5), 0.5 * sigmoid(-1.5)),
        ((0.0, 1.0, 0.0), BCO, -0.5 * sigmoid(-0.25), 0.5 * sigmoid(-1.25)),
        (
            (0.8, 0.2, 1.0),
            0.8 * DPO + 0.2 * BCO + NLL,
            -0.4 * sigmoid(-1.5) - 0.1 * sigmoid(-0.25) - 0.5,
            0.4 * sigmoid(-1.5) + 0.1 * sigmoid(-1.25),
        ),
    ],
)
def test_values_and_gradients_by_hand(
    weights: tuple[float, float, float], value: float, chosen_slope: float, rejected_slope: float
) -> None:
    inputs = one_pair()
    dpo, bco, nll = weights
    out = PairLoss(beta=0.5, dpo_weight=dpo, bco_weight=bco, nll_weight=nll).loss(inputs)
    assert out.loss.item() == pytest.approx(value, rel=1e-6)
    out.loss.backward()
    assert inputs.policy_logprobs.grad is not None
    chosen, rejected = inputs.policy_logprobs.grad.tolist()
    assert chosen == pytest.approx([chosen_slope] * 2, rel=1e-5)
    assert rejected == pytest.approx([rejected_slope, 0.0], rel=1e-5)
    found = {name: float(one.total / one.num) for name, one in out.metrics.items()}
    assert found == pytest.approx({
        "pairs/dpo": DPO, "pairs/bco": BCO, "pairs/accuracy": 1.0, "pairs/margin": 1.5,
        "pairs/reward_chosen": 0.5, "pairs/reward_rejected": -1.0, "train/nll": NLL,
    })  # fmt: skip


def test_no_cut_of_an_update_changes_its_loss() -> None:
    whole = one_pair()
    rows = torch.tensor([0, 1, 1, 0])  # the pair, and the same the other way round
    both = replace(
        whole,
        policy_logprobs=whole.policy_logprobs[rows[[0, 2, 1, 3]]],
        ref_logprobs=whole.ref_logprobs[rows[[0, 2, 1, 3]]],
        loss_mask=whole.loss_mask[rows[[0, 2, 1, 3]]],
        token_weight=torch.full((4,), 1 / 3),
        pair_weight=0.5,
    )
    loss = PairLoss(dpo_weight=0.8, bco_weight=0.2, nll_weight=1.0).loss
    parts = [
        replace(
            both,
            **{
                name: getattr(both, name)[[i, i + 2]]
                for name in ("policy_logprobs", "ref_logprobs", "loss_mask", "token_weight")
            },
        )
        for i in (0, 1)
    ]
    assert sum(loss(part).loss.item() for part in parts) == pytest.approx(loss(both).loss.item())


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.8, 0.2, 1.0)], ids=["dpo", "mpo"])
def test_the_side_of_the_padding_changes_nothing(weights: tuple[float, float, float]) -> None:
    right = one_pair()
    rows = ("policy_logprobs", "ref_logprobs", "loss_mask")
    moved = {  # the rejected answer has one token
        name: torch.stack([getattr(right, name)[0], getattr(right, name)[1].flip(0)])
        for name in rows
    }
    loss = PairLoss(beta=0.5, **dict(zip(WEIGHTS, weights, strict=True))).loss
    assert loss(replace(right, **moved)).loss.item() == loss(right).loss.item()


def test_the_shift_is_the_mean_of_earlier_updates() -> None:
    shift = RunningShift()
    assert shift.value == 0.0
    shift.add(1.0, -0.5)
    shift.add(0.5, 0.0)
    assert shift.value == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, r"algorithm\.beta must be above 0, got 0\.0"),
        ({"bco_weight": -1.0}, r"algorithm\.bco_weight must be at least 0, got -1\.0"),
        ({"dpo_weight": 0.0, "nll_weight": 1.0}, "leave nothing that prefers"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PairLoss(**settings)
