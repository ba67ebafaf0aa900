"""Entropy that is paid: the rules, and what a step makes of them beside an algorithm."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from tests.unit.models.small import make_policy
from tests.unit.training.test_policy_gradient_module import NUM_ROWS, PlainModule, rows
from vigorl.core.errors import ConfigError
from vigorl.models.logprobs import ScoringHead
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.buffer import PolicyBatch
from vigorl.training.entropy import EntropyBonus, EntropyRule, EntropyTarget
from vigorl.training.policy_module import OptimizerSettings


def test_entropy_has_its_gradient_beside_tokens_of_probability_nil() -> None:
    torch.manual_seed(0)
    head = ScoringHead(4, 6, bias=False)
    states = torch.randn(3, 4, requires_grad=True)
    banned, targets = torch.tensor([2]), torch.tensor([0, 1, 5])
    _, entropy = head(states, targets, banned=banned, with_entropy=True, entropy_gradient=True)
    (gradient,) = torch.autograd.grad(entropy.sum(), states)
    logits = states @ head.weight.T
    logits[:, 2] = -math.inf
    probs = logits.softmax(-1)
    logs = torch.where(probs > 0, logits.log_softmax(-1), 0.0)
    assert entropy.tolist() == pytest.approx((-(probs * logs).sum(-1)).tolist(), abs=1e-6)
    # d H / d logit_i = -p_i (log p_i + H)
    slope = -probs * (logs + entropy[:, None])
    assert torch.allclose(gradient, slope @ head.weight, atol=1e-6)
    _, measured = head(states, targets, banned=banned, with_entropy=True)
    assert not measured.requires_grad
    assert torch.equal(measured, entropy)


def test_a_bonus_moves_along_a_line() -> None:
    decay = EntropyBonus(coef_start=0.02, coef_end=0.0)
    assert [decay.coef(done) for done in (0.0, 0.25, 1.0)] == [0.02, 0.015, 0.0]
    assert EntropyBonus(coef_start=-0.06).coef(0.7) == -0.06


def test_a_target_is_paid_for_from_below_alone() -> None:
    rule = EntropyTarget(target=0.2, step=0.1, coef_max=0.2)
    coefs = []
    for entropy in (0.1, 0.2, 0.1, 0.3, 0.1):
        coefs.append(rule.coef(0.0))
        rule.observe(entropy)
    # 0 -> low: 0.1 -> at the target: 0.2 -> held at 0.2 -> above: 0.1, unpaid -> low: 0.2
    assert coefs == pytest.approx([0.0, 0.1, 0.2, 0.2, 0.0])
    again = EntropyTarget(target=0.2, step=0.1, coef_max=0.2)
    again.load_state_dict(rule.state_dict())
    assert again.coef(0.0) == rule.coef(0.0) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EntropyBonus(coef_start=0.0), "set entropy=none"),
        (lambda: EntropyTarget(target=0.0), r"entropy\.target > 0"),
        (lambda: EntropyTarget(coef_min=1.0, coef_max=0.5), r"entropy\.coef_min < "),
    ],
)
def test_a_rule_without_effect_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def step(
    rule: EntropyRule | None, *, cuts: int = 1, weight: float = 1.0, advantage: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """How far one vector of weights moved in one update, and what was logged.

    Args:
        rule: Of the entropy.
        cuts: Micro-batches.
        weight: Multiplies the algorithm's token weights.
        advantage: Multiplies the advantages.
    """
    size = NUM_ROWS // cuts
    share = torch.full((size,), 1 / (3 * NUM_ROWS))
    module = PlainModule(
        make_policy(),
        algorithm=GRPO(),
        images=cast(Any, None),
        optimizer=OptimizerSettings(lr=1.0),
        entropy=rule,
    )
    module.vision_cache = None  # no pictures
    norm = module.policy.model.get_parameter("model.language_model.norm.weight")
    before = norm.detach().clone()
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=cuts, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    items = []
    for i in range(cuts):
        batch = rows(i * size, (i + 1) * size, None)
        assert batch.advantages is not None
        items.append(
            PolicyBatch(
                replace(
                    batch,
                    advantages=batch.advantages * advantage,
                    token_weight=batch.token_weight * weight,
                    token_share=share,
                )
            )
        )
    loader = DataLoader(cast(Any, items), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, module), loader)
    return norm.detach() - before, {n: float(v) for n, v in trainer.callback_metrics.items()}


BONUS = EntropyBonus(coef_start=0.5)


@pytest.mark.parametrize("rule", [BONUS, EntropyBonus(coef_start=-0.06, is_exact=False)])
def test_neither_the_cut_nor_the_algorithms_weights_change_what_is_paid(rule: EntropyRule) -> None:
    plain, _ = step(None)
    whole, metrics = step(rule)
    cut, _ = step(rule, cuts=3)
    assert torch.allclose(whole, cut, atol=1e-6)
    paid = whole - plain
    assert paid.abs().max() > 1e-4
    lighter = step(rule, weight=0.1)[0] - step(None, weight=0.1)[0]
    assert torch.allclose(lighter, paid, atol=1e-6)
    assert metrics["train/entropy_coef"] == pytest.approx(rule.coef(0.0))


def test_entropy_alone_is_signal_enough_for_a_step() -> None:
    still, metrics = step(None, advantage=0.0)
    assert not still.any()
    assert metrics["train/no_signal"] == 1
    moved, metrics = step(BONUS, advantage=0.0)
    assert moved.any()
    assert "train/no_signal" not in metrics


def test_a_target_sees_each_update_and_is_part_of_the_checkpoint() -> None:
    rule = EntropyTarget(target=100.0, step=0.01)
    module = PlainModule(
        make_policy(), algorithm=GRPO(), images=cast(Any, None),
        optimizer=OptimizerSettings(lr=1.0), entropy=rule,
    )  # fmt: skip
    module.on_update_measured({"train/entropy": 3.0})
    kept: dict[str, Any] = {}
    module.on_save_checkpoint(kept)
    assert kept == {"entropy": {"coef": 0.01, "is_low": 1.0}}
    module.on_update_measured({"train/entropy": 3.0})
    module.on_load_checkpoint(kept)
    assert rule.coef(0.0) == 0.01


def test_the_first_token_of_a_turn_is_measured_apart() -> None:
    _, metrics = step(None)
    # a row is 5 [6 7] 8 [9]: two runs of sampled tokens, and so two first tokens in each
    assert metrics["train/entropy_turn_start"] != metrics["train/entropy"]
