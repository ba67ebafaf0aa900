"""A critic beside the policy: what it says, what it learns, and that neither disturbs the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tests.unit.models.small import make_batch, make_policy, patch_of
from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models.lora import LoraSettings
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.buffer import PolicyBatch
from vigorl.training.critic import Critic, clipped_value_loss
from vigorl.training.estimators.gae import GAE
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.policy_module import OptimizerSettings

NUM_ROWS = 6
PPO = GRPO(estimator=GAE())


def make_critic(**settings: Any) -> Critic:
    """One whose values are not all 0."""
    critic = Critic(make_policy(seed=1), **{"lr": 1.0, "clip": None} | settings)
    nn.init.normal_(critic.head.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    return critic


def test_the_value_loss_by_hand() -> None:
    old, returns = torch.tensor([[0.1, 0.1, 0.1]]), torch.tensor([[0.75, 0.75, 0.0]])
    values = torch.tensor([[0.2, 0.12, 0.2]], requires_grad=True)
    found = clipped_value_loss(values, old, returns, clip=0.05)
    # held at 0.15: (0.15 - 0.75)^2 / 2 is the larger; within the clip; on its way back the plain
    expected = torch.tensor([[0.18, 0.63**2 / 2, 0.2**2 / 2]])
    torch.testing.assert_close(found.loss, expected)
    assert found.is_clipped.tolist() == [[True, False, False]]
    found.loss.sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[0.0, -0.63, 0.2]]))
    plain = clipped_value_loss(values, old, returns, clip=None)
    torch.testing.assert_close(plain.loss, (values - returns).square() / 2)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_value_is_of_what_stands_before_its_token(family: str) -> None:
    policy = make_policy(family)
    critic = Critic(make_policy(family), lr=1.0)  # the same weights
    nn.init.normal_(critic.head.weight)
    batch, other_side = (
        make_batch([(4, 4)], [(2, 4), (4, 4)], side=side, patch=patch_of(family))
        for side in ("right", "left")
    )
    values, mask = critic(batch), batch.loss_mask
    hidden = policy(batch)
    states = hidden.roll(1, dims=1)[mask]
    torch.testing.assert_close(values[mask], (states @ critic.head.weight.T)[:, 0])
    assert not values[~mask].any()
    left = critic(other_side)[other_side.loss_mask]
    torch.testing.assert_close(left, values[mask], atol=1e-5, rtol=1e-4)


def test_before_it_has_learned_it_expects_nothing() -> None:
    critic = Critic(make_policy(), lr=1.0)
    assert not critic(make_batch([], [])).any()
    names = [name for name, _ in critic.named_parameters()]
    assert not any("lm_head" in name for name in names)
    assert not any("visual" in n for n, w in critic.named_parameters() if w.requires_grad)


def rows(first: int, last: int) -> TrainingBatch:
    num, noise = last - first, torch.Generator().manual_seed(0)
    batch = make_batch(*[[]] * num)
    old, returns = torch.randn(2, NUM_ROWS, 5, generator=noise)
    mask = batch.loss_mask.clone()
    mask[0] = mask[0] & (first > 0)  # the first rollout is not learned from
    share = 1 / (3 * (NUM_ROWS - 1))
    return replace(
        batch,
        loss_mask=mask,
        advantages=torch.linspace(-1, 1, NUM_ROWS)[first:last, None].expand(-1, 5),
        token_weight=torch.full((num,), 2 * share),  # the critic's is a plain mean all the same
        token_share=torch.full((num,), share),
        old_values=old[first:last],
        returns=returns[first:last],
    )


class PlainModule(PolicyGradientModule):
    """By gradient descent, so that a step is the gradient itself."""

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.trained_parameters(), "lr": 1.0}, *self.groups_beside()]
        return torch.optim.SGD([{"params": g["params"], "lr": g["lr"]} for g in groups])


Moved = dict[str, Tensor]


def step(
    critic: Critic | None, *, cuts: int = 1, clip: float | None = None, phases: int = 1
) -> tuple[Moved, dict[str, float]]:
    """How far vectors of weights moved, and what was logged."""
    module = PlainModule(
        make_policy(),
        algorithm=PPO if critic else GRPO(),
        critic=critic,
        images=cast(Any, None),
        optimizer=OptimizerSettings(lr=1.0),
    )
    module.vision_cache = None  # no pictures
    norm = "language_model.norm.weight"
    followed = {"policy": module.policy.model.model.get_parameter(norm)}
    if critic:
        followed |= {
            "backbone": critic.backbone.model.model.get_parameter(norm),
            "head": critic.head.weight,
        }
    before = {name: weight.detach().clone() for name, weight in followed.items()}
    trainer = Trainer(
        accelerator="cpu", max_epochs=phases, accumulate_grad_batches=cuts, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        gradient_clip_val=clip,
    )  # fmt: skip
    size = NUM_ROWS // cuts
    items = [PolicyBatch(rows(i * size, (i + 1) * size)) for i in range(cuts)]
    loader = DataLoader(cast(Any, items), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, module), loader)
    moved = {name: weight.detach() - before[name] for name, weight in followed.items()}
    return moved, {n: float(v) for n, v in trainer.callback_metrics.items()}


def assert_same(left: Moved, right: Moved) -> None:
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=1e-6, rtol=1e-4, msg=name)


def test_micro_batches_change_neither_the_step_nor_what_is_logged() -> None:
    moved, logged = step(make_critic(clip=0.3))
    in_parts, logged_in_parts = step(make_critic(clip=0.3), cuts=3)
    assert_same(in_parts, moved)
    assert logged_in_parts == pytest.approx(logged, rel=1e-4, abs=1e-6)
    assert 0 < logged["critic/clip_frac"] < 1
    assert min(float(value.abs().max()) for value in moved.values()) > 1e-3


def test_the_loss_is_the_mean_over_the_tokens_that_are_learned_from() -> None:
    critic, batch = make_critic(), rows(0, NUM_ROWS)
    assert batch.returns is not None
    values, mask = critic(batch), batch.loss_mask
    assert not mask[0].any()
    wrong = (values - batch.returns)[mask]
    loss, sums = critic.learn(batch, None)
    torch.testing.assert_close(loss, wrong.square().mean() / 2)
    total, num = sums["critic/loss"]
    torch.testing.assert_close(total / num, loss.detach())
    wild = torch.where(mask, batch.returns, torch.nan)  # is not even read
    torch.testing.assert_close(critic.learn(replace(batch, returns=wild), None)[0], loss)
    nothing, none = critic.learn(replace(batch, returns=None, old_values=None), None)
    assert (nothing.item(), none) == (0.0, {})
    nothing.backward()
    assert critic.head.weight.grad is not None  # ranks stay in step


def test_the_critic_leaves_the_policys_step_and_its_loss_as_they_are() -> None:
    (moved, logged), (alone, logged_alone) = step(make_critic()), step(None)
    torch.testing.assert_close(moved["policy"], alone["policy"], atol=1e-7, rtol=1e-5)
    assert {name: logged[name] for name in logged_alone} == pytest.approx(logged_alone, rel=1e-5)


def test_each_is_clipped_by_its_own_norm() -> None:
    clip = 0.01
    (moved, logged), (plain, _) = step(make_critic(), clip=clip), step(make_critic())
    for name, metric in (("policy", "train/grad_norm"), ("head", "critic/grad_norm")):
        assert logged[metric] > clip
        torch.testing.assert_close(
            moved[name], plain[name] * clip / logged[metric], atol=1e-7, rtol=1e-3
        )


def test_the_policy_waits_while_the_critic_warms_up() -> None:
    moved, _ = step(make_critic(warmup_phases=1))
    assert not moved["policy"].any()
    assert moved["head"].any()
    after, _ = step(make_critic(warmup_phases=1), phases=2)
    assert after["policy"].any()


def test_a_gradient_that_is_not_finite_is_not_stepped() -> None:
    critic = make_critic()
    for weight in critic.trained_parameters():
        weight.grad = torch.full_like(weight, torch.nan)
    assert critic.check_gradient() == {"critic/skipped": 1.0}
    assert all(weight.grad is None for weight in critic.trained_parameters())


def test_its_rate_is_its_own_and_constant() -> None:
    module = PolicyGradientModule(
        make_policy(), algorithm=PPO, critic=make_critic(lr=0.5, weight_decay=0.1),
        images=cast(Any, None), optimizer=OptimizerSettings(lr=0.25, warmup_frac=0.5),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        trainer = type("T", (), {"estimated_stepping_batches": 4})()
        patch.setattr(PolicyGradientModule, "trainer", property(lambda self: trainer))
        found = module.configure_optimizers()
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    told = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert told == [(0.125, 0.01), (0.125, 0.0), (0.5, 0.1), (0.5, 0.0)]
    assert schedule.base_lrs == [0.25, 0.25, 0.5, 0.5]
    stepped = sum(len(group["params"]) for group in optimizer.param_groups)
    assert module.critic is not None
    learns = len(module.trained_parameters()) + len(module.critic.trained_parameters())
    assert stepped == learns


def test_with_adapters_only_they_and_the_head_learn() -> None:
    critic = Critic(make_policy(lora=LoraSettings(rank=2)), lr=1.0)
    names = [name for name, weight in critic.named_parameters() if weight.requires_grad]
    assert all("lora_" in name or name.startswith("head.") for name in names)


def test_what_does_not_fit_is_refused() -> None:
    shared: dict[str, Any] = {"images": None, "optimizer": OptimizerSettings(lr=1.0)}
    with pytest.raises(ConfigError, match="needs a critic: set critic, as configs/algorithm/_cri"):
        PolicyGradientModule(make_policy(), algorithm=PPO, **shared)
    with pytest.raises(ConfigError, match="critic has no effect"):
        PolicyGradientModule(make_policy(), algorithm=GRPO(), critic=make_critic(), **shared)
    with pytest.raises(ConfigError, match=r"lr > 0.*got lr=0"):
        Critic(make_policy(), lr=0)
