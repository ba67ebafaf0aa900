"""Which evaluation is the best, which one is the last, and what a resumed run knows of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

from vigorl.callbacks.checkpoint import PhaseCheckpoint, list_checkpoints
from vigorl.callbacks.early_stop import EarlyStop
from vigorl.core.errors import ConfigError


def judged(*scores: float, **settings: Any) -> EarlyStop:
    stop = EarlyStop(**settings)
    for phase, score in enumerate(scores):
        assert not stop.should_stop
        stop.judge(score, phase=phase)
    return stop


def best(stop: EarlyStop) -> tuple[float | None, int | None]:
    return stop.best_score, stop.best_phase


def test_it_waits_for_so_many_evaluations_without_improvement() -> None:
    stop = judged(0.2, 0.5, 0.4, patience=2)
    assert (best(stop), stop.num_waited, stop.should_stop) == ((0.5, 1), 1, False)
    stop.judge(0.6, phase=3)
    assert (best(stop), stop.num_waited) == ((0.6, 3), 0)
    for phase in (4, 5):
        stop.judge(0.59, phase=phase)
    assert (best(stop), stop.num_waited, stop.should_stop) == ((0.6, 3), 2, True)


def test_of_a_loss_the_lowest_is_the_best() -> None:
    stop = judged(2.0, 1.5, 1.7, 1.6, metric="val/nll", mode="min", patience=2)
    assert (best(stop), stop.should_stop) == ((1.5, 1), True)


def test_a_small_improvement_is_the_best_but_buys_no_time() -> None:
    # to beat: 0.5 by more than 0.25, so 0.75 is not enough and 0.875 is
    stop = judged(0.5, 0.75, min_delta=0.25)
    assert (best(stop), stop.num_waited) == ((0.75, 1), 1)
    stop.judge(0.875, phase=2)
    assert (best(stop), stop.num_waited) == ((0.875, 2), 0)


def test_a_tie_goes_to_the_earlier_phase_but_not_to_the_start() -> None:
    stop = judged(0.5, 0.5, 0.5, patience=None)
    assert (best(stop), stop.num_waited) == ((0.5, 1), 2)


def test_what_is_not_finite_is_no_improvement() -> None:
    stop = judged(float("nan"), float("inf"), patience=3)
    assert (best(stop), stop.num_waited) == ((None, None), 2)
    stop.judge(0.1, phase=2)
    assert (best(stop), stop.num_waited) == ((0.1, 2), 0)


def test_without_patience_it_never_stops() -> None:
    stop = judged(0.5, *[0.4] * 50, patience=None)
    assert (best(stop), stop.should_stop) == ((0.5, 0), False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "highest"}, "early_stop.mode"),
        ({"metric": "val/nll"}, "set early_stop.mode=min"),
        ({"patience": 0}, "early_stop.patience"),
        ({"min_delta": -0.1}, "early_stop.min_delta"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EarlyStop(**wrong)


def test_the_best_of_another_metric_is_not_gone_on_with() -> None:
    state = judged(0.5).state_dict()
    with pytest.raises(ConfigError, match=r"has its best by val/accuracy mode=max"):
        EarlyStop(metric="val/reward/total").load_state_dict(state)


# ---- in a Trainer --------------------------------------------------------------------------------


class KnownScores(L.Callback):
    """In the rollout callback's place: accuracy by phases done, where there is an evaluation."""

    def __init__(self, scores: Mapping[int, float]) -> None:
        self.scores = scores

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._evaluate(trainer, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._evaluate(trainer, trainer.current_epoch + 1)

    def _evaluate(self, trainer: L.Trainer, phase: int) -> None:
        if phase in self.scores:
            trainer.callback_metrics["val/accuracy"] = torch.tensor(self.scores[phase])


def fit(
    folder: Path, scores: Mapping[int, float], stop: EarlyStop, *, every: int = 100
) -> L.Trainer:
    """From the last checkpoint of the folder, at most nine phases."""
    found = list_checkpoints(folder)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=9,
        limit_train_batches=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[KnownScores(scores), stop, PhaseCheckpoint(folder=str(folder), every=every)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(BoringModel(), ckpt_path=found[-1] if found else None, weights_only=False)
    return trainer


def names(folder: Path) -> list[str]:
    return [path.name for path in list_checkpoints(folder)]


EVERY_OTHER = {0: 0.5, 2: 0.75, 4: 0.25, 6: 0.5, 8: 0.875}


def test_evaluations_are_counted_and_not_phases(tmp_path: Path) -> None:
    trainer = fit(tmp_path, EVERY_OTHER, stop := EarlyStop(patience=2))
    assert trainer.current_epoch == 6
    assert (best(stop), stop.num_waited) == ((0.75, 2), 2)
    assert names(tmp_path) == ["phase-00006.ckpt"]  # of the phase that stopped, though not due
    assert float(trainer.callback_metrics["best/val/accuracy"]) == 0.75
    assert float(trainer.callback_metrics["best/phase"]) == 2


def test_a_stopped_run_does_not_train_on_when_it_is_resumed(tmp_path: Path) -> None:
    fit(tmp_path, EVERY_OTHER, EarlyStop(patience=2))
    trainer = fit(tmp_path, EVERY_OTHER, stop := EarlyStop(patience=2))
    assert (trainer.global_step, best(stop), stop.num_waited) == (6, (0.75, 2), 2)


def test_a_resumed_run_takes_the_patience_that_it_is_told(tmp_path: Path) -> None:
    fit(tmp_path, EVERY_OTHER, EarlyStop(patience=2))
    trainer = fit(tmp_path, EVERY_OTHER, stop := EarlyStop(patience=3))
    # two were waited for before, and the third is the best
    assert (trainer.global_step, best(stop), stop.num_waited) == (9, (0.875, 8), 0)


def test_a_metric_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    stop = EarlyStop(metric="val/acuracy")
    with pytest.raises(ConfigError, match=r"'val/acuracy' is not .* one of \['val/accuracy'\]"):
        fit(tmp_path, EVERY_OTHER, stop)
    with pytest.raises(ConfigError, match=r"one of \[\], or early_stop=none"):
        fit(tmp_path, {}, EarlyStop())


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({0: 0.5, 1: 0.75, 2: 0.25, 3: 0.75}, "1 of 3: 0.75; stopped by early_stop.patience=2"),
        ({0: 0.5, 1: 0.25, 2: 0.25}, "no phase of 2 was better than the start"),
        ({0: 0.5, 9: 0.75}, "was best after phase 9 of 9: 0.75"),
    ],
)
def test_it_says_which_was_the_best_and_why_it_ended(
    scores: dict[int, float], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="vigorl"):
        fit(tmp_path, scores, EarlyStop(patience=2))
    (record,) = (one for one in caplog.records if one.name == EarlyStop.__module__)
    assert said in record.getMessage()
    assert (record.levelname == "WARNING") == ("start" in said)
    assert ("stopped" in record.getMessage()) == (9 not in scores)
