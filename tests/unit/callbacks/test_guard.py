"""When the alarm goes off, what it does to a run, and what a resumed run knows of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import BoringModel

from vigorl.callbacks.guard import ToolGuard
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.errors import ConfigError
from vigorl.core.rewards import WeightedReward, curiosity_reward, grounded_zoom_reward

METRIC = "rollout/zoomed_frac"
OLD, NEW = grounded_zoom_reward(), curiosity_reward()


@pytest.mark.parametrize(
    ("values", "settings", "alarm"),
    [
        ((0.5, 0.04, 0.04, 0.04), {}, 3),  # three phases under 0.05
        ((0.5, 0.04, 0.3, 0.04, 0.04), {}, None),  # not in a row
        ((0.8, 0.39, 0.39, 0.39), {}, 3),  # under half of 0.8
        ((0.8, 0.39, 0.39, 0.39), {"below_best_frac": None}, None),
        ((0.3, 0.1), {"below": 0.4, "below_best_frac": None, "patience": 2}, 1),
        ((0.0, 0.0), {"below": None, "patience": 1}, None),  # it never was any better
    ],
)
def test_it_goes_off_after_some_low_phases_in_a_row(
    values: tuple[float, ...], settings: dict[str, Any], alarm: int | None
) -> None:
    guard = ToolGuard(**settings)
    went_off = [phase for phase, value in enumerate(values) if guard.judge(value, phase=phase)]
    assert guard.alarm_phase == alarm
    assert went_off == ([] if alarm is None else [alarm])


class Phases(RolloutCallback):
    """Reports one value per phase; notes which reward judged it, and evaluations."""

    def __init__(self, *values: float) -> None:
        self.values, self.listeners, self.reward, self.seed = values, [], OLD, 0
        self.judged_by: list[str] = []
        self.num_evaluations = 0
        self.eval_every, self.groups, self.ahead = 0, None, None

    def on_train_start(self, trainer, pl_module) -> None:
        pass

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        phase = trainer.current_epoch
        assert isinstance(self.reward, WeightedReward)
        self.judged_by.append(self.reward.name)
        report = PhaseReport("train", phase, 0, [], {METRIC: self.values[phase]})
        for listener in self.listeners:
            listener(report, trainer)

    def evaluate(self, trainer, module) -> dict[str, float]:
        self.num_evaluations += 1
        return {}


def run(guard: ToolGuard, phases: Phases, folder: Path, *, resume: Path | None = None) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=len(phases.values), limit_train_batches=1,
        limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[guard, phases], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(BoringModel(), ckpt_path=resume, weights_only=True)
    return trainer


FALLING = (0.5, 0.01, 0.01, 0.01, 0.01)


@pytest.fixture(autouse=True)
def _no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigorl.callbacks.rollout._policy_module", lambda module: module)


def test_a_switch_changes_the_reward_from_the_next_phase_on_and_after_a_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {"patience": 2, "action": "switch", "reward": NEW}
    phases = Phases(*FALLING)
    with caplog.at_level(logging.WARNING):
        trainer = run(ToolGuard(**settings), phases, tmp_path)
    assert phases.judged_by == [OLD.name] * 3 + [NEW.name] * 2
    (line,) = [one for one in caplog.messages if one.startswith(METRIC)]
    assert "phase 2" in line
    assert f"reward '{NEW.name}' judges" in line
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    phases = Phases(*FALLING, 0.4)
    run(ToolGuard(**settings), phases, tmp_path, resume=tmp_path / "a.ckpt")
    assert phases.judged_by == [NEW.name]


def test_a_stop_ends_the_run_with_its_last_evaluation(tmp_path: Path) -> None:
    phases = Phases(*FALLING)
    trainer = run(ToolGuard(patience=2, action="stop"), phases, tmp_path)
    assert (len(phases.judged_by), trainer.current_epoch) == (3, 3)
    assert phases.num_evaluations == 1
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    phases = Phases(*FALLING)
    run(ToolGuard(patience=2, action="stop"), phases, tmp_path, resume=tmp_path / "a.ckpt")
    assert phases.judged_by == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"action": "panic"}, r"guard\.action must be one of warn, switch, stop, got 'panic'"),
        ({"below": None, "below_best_frac": None}, r"set guard\.below"),
        ({"patience": 0}, r"guard\.patience must be at least 1"),
        ({"action": "switch"}, r"guard\.reward is what"),
        ({"reward": NEW}, r"guard\.reward is what"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ToolGuard(**wrong)


def test_a_metric_that_nobody_measures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"guard\.metric='rollout/zoomed' is not measured; there"):
        run(ToolGuard(metric="rollout/zoomed"), Phases(0.5), tmp_path)
