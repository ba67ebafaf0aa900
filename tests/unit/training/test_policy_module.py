from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from tests.unit.models.small import make_batch, make_policy
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.models.losses import LossOutput
from vigorl.training.policy_module import OptimizerSettings, PolicyModule


def factors(*, total: int, **settings: Any) -> list[float]:
    found = OptimizerSettings(lr=1.0, **settings)
    return [round(found.factor(step, total), 6) for step in range(total + 1)]


def test_constant_after_the_warm_up() -> None:
    # ceil(0.3 * 10) = 3 steps up
    assert factors(total=10, warmup_frac=0.3) == [0.333333, 0.666667, *[1.0] * 9]


def test_linear_falls_to_its_end() -> None:
    assert factors(total=4, schedule="linear") == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert factors(total=4, schedule="linear", final_frac=0.2) == [1.0, 0.8, 0.6, 0.4, 0.2]


def test_cosine_is_halfway_in_the_middle() -> None:
    # 1/2 + cos(pi i / 4) / 2
    assert factors(total=4, schedule="cosine") == [1.0, 0.853553, 0.5, 0.146447, 0.0]
    up_and_down = factors(total=5, schedule="cosine", warmup_frac=0.2, final_frac=0.5)
    assert up_and_down == [1.0, 1.0, 0.926777, 0.75, 0.573223, 0.5]


def test_steps_past_the_end_stay_at_the_end() -> None:
    assert OptimizerSettings(lr=1.0, schedule="linear", final_frac=0.1).factor(
        99, 4
    ) == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [{"schedule": "step"}, {"warmup_frac": 1.0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"optimizer.{next(iter(wrong))}"):
        OptimizerSettings(lr=1.0, **wrong)


class SumModule(PolicyModule):
    """The loss of a micro-batch is its number times the sum of one weight vector."""

    def training_step(self, batch: float, batch_idx: int) -> Tensor:
        norm = self.policy.model.get_parameter("model.language_model.norm.weight")
        return self.report(LossOutput(batch * norm.sum(), {}))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.trained_parameters(), lr=1.0)


def fit(numbers: list[float], *, accumulate: int) -> tuple[Tensor, float]:
    """How far the vector moved, and the loss that was logged."""
    module = SumModule(make_policy(), images=cast(Any, None), optimizer=OptimizerSettings(lr=1.0))
    norm = module.policy.model.get_parameter("model.language_model.norm.weight")
    before = norm.detach().clone()
    trainer = run(module, numbers, accumulate=accumulate)
    return before - norm.detach(), float(trainer.callback_metrics["train/loss"])


def run(module: SumModule, numbers: list[float], *, accumulate: int) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(cast(Any, numbers), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, module), loader)
    return trainer


def test_micro_batches_make_the_step_of_their_sum() -> None:
    # weights are fixed over the optimizer batch, so the losses of micro-batches ADD: 1 + 2 + 3 + 4
    moved, loss = fit([1.0, 2.0, 3.0, 4.0], accumulate=4)
    torch.testing.assert_close(moved, torch.full_like(moved, 10.0))
    assert loss == pytest.approx(10.0 * len(moved))  # the vector starts as ones
    whole, whole_loss = fit([10.0], accumulate=1)
    torch.testing.assert_close(moved, whole)
    assert loss == pytest.approx(whole_loss)


class ScheduledModule(SumModule):
    """Steps by the settings' own optimizer and schedule; notes what is logged."""

    def configure_optimizers(self) -> Any:
        return PolicyModule.configure_optimizers(self)

    def log_dict(self, dictionary: Any, *args: Any, **kwargs: Any) -> None:
        self.rates = [*getattr(self, "rates", []), dictionary["train/lr"]]


def test_the_logged_rate_is_that_of_the_step_just_taken() -> None:
    # warm-up over ceil(0.5 * 4) = 2 steps, then linear from 1 to 0 over 2
    settings = OptimizerSettings(lr=1.0, schedule="linear", warmup_frac=0.5)
    module = ScheduledModule(make_policy(), images=cast(Any, None), optimizer=settings)
    run(module, [1.0] * 8, accumulate=2)
    assert module.rates == [0.5, 1.0, 1.0, 0.5]


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(VigorlError, match="the loss is nan at step 0"):
        fit([float("nan")], accumulate=1)


class SpikingModule(ScheduledModule):
    """A finite loss, whose gradient is not finite where the micro-batch is negative."""

    def training_step(self, batch: float, batch_idx: int) -> Tensor:
        norm = self.policy.model.get_parameter("model.language_model.norm.weight") * 1.0
        if batch < 0:
            norm.register_hook(lambda gradient: gradient / 0.0)
        return self.report(LossOutput(abs(batch) * norm.sum(), {}))


def test_a_step_whose_gradient_is_not_finite_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(numbers: list[float]) -> tuple[Tensor, list[float]]:
        module = SpikingModule(
            make_policy(), images=cast(Any, None), optimizer=OptimizerSettings(lr=0.1)
        )
        seen: list[dict[str, float]] = []
        monkeypatch.setattr(module, "log_dict", seen.append)
        run(module, numbers, accumulate=1)
        norm = module.policy.model.get_parameter("model.language_model.norm.weight")
        return norm.detach(), [one.get("train/skipped_steps", 0.0) for one in seen]

    weight, skipped = learned([1.0, -1.0, 2.0])
    assert skipped == [0, 1, 0]
    assert torch.equal(weight, learned([1.0, 2.0])[0])  # Adam's states are left alone too


def test_steps_without_a_finite_gradient_stop_the_run_with_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = SpikingModule(
        make_policy(), images=cast(Any, None), optimizer=OptimizerSettings(lr=0.1)
    )
    with pytest.raises(VigorlError, match=r"5 steps in a row .*skipped-step-000006-rank-0\.pt"):
        run(module, [1.0, -1.0, -2.0, -3.0, -4.0, -5.0, 1.0], accumulate=1)
    assert torch.load(tmp_path / "skipped-step-000006-rank-0.pt") == ["-5.0"]


def test_padding_is_counted_over_all_positions_of_an_update() -> None:
    module = SumModule(make_policy(), images=cast(Any, None), optimizer=OptimizerSettings(lr=1.0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    module.count_padding(replace(make_batch([], []), attention_mask=mask))
    module.count_padding(make_batch([]))  # five tokens
    assert module.step_metrics.compute() == {"perf/padding_frac": pytest.approx(2 / 15)}


def test_vectors_have_no_weight_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    module = PolicyModule(
        make_policy(),
        images=cast(Any, None),
        optimizer=OptimizerSettings(lr=0.5, weight_decay=0.1),
    )
    monkeypatch.setattr(Trainer, "estimated_stepping_batches", 4)
    module.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(w.ndim >= 2 for w in groups[0]["params"])
    assert all(w.ndim == 1 for w in groups[1]["params"])
    assert sum(len(g["params"]) for g in groups) == len(module.trained_parameters())
