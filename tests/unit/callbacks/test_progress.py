"""What a run shows in a log, on a screen and at its end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import BoringModel
from rich.console import Console

from vigorl.callbacks import progress as module
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.progress import PhaseProgress
from vigorl.callbacks.progress_view import TRAIN, VAL, ProgressView
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.run_log import logged_to


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_ends_when_the_phases_that_are_left_take_what_the_last_ones_took() -> None:
    clock = Clock()
    view = ProgressView(total=10, done=4, clock=clock)
    assert view.left_s is None
    for now in (10.0, 30.0):  # phases of 10 s and of 20 s: 15 s each
        clock.now = now
        view.finish_one()
    assert view.left_s == 15.0 * 4
    clock.now = 36.0
    assert view.left_s == 15.0 * 4 - 6.0
    clock.now = 300.0
    assert view.left_s == 0.0
    assert view.summary() == "6 of 10 phases in 5 min, 150.0 s each"


def test_a_phase_without_signal_says_so() -> None:
    view = ProgressView(total=2, is_flat=True)
    assert view.line().endswith("no group has right and wrong answers: little to learn from")
    view.is_flat = False
    assert "little to learn from" not in view.line()


@pytest.mark.parametrize("width", [80, 120])
def test_a_screen_has_two_lines_that_fit(width: int) -> None:
    view = ProgressView(total=2000, done=1233, clock=Clock(), best=1200)
    view.note(1233, dict.fromkeys(TRAIN, 0.5), TRAIN)
    view.note(1230, dict.fromkeys(VAL, 0.25), VAL)
    view.finish_one()
    view.doing = "train rollouts 192 of 256"
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(view)
    first, second = console.export_text().splitlines()
    assert first.startswith("phase 1235 of 2000 ")
    assert first.rstrip().endswith(" left")
    assert "train rollouts 192 of 256" in first
    said = "reward 0.500  accuracy 50.0 %  hits 50.0 %  val 25.0 % after 1230  best phase 1200"
    assert second.rstrip() == (said if len(said) <= width else f"{said[: width - 1]}…")


def test_the_table_has_the_first_the_last_and_the_best() -> None:
    view = ProgressView(total=3, clock=Clock())
    for number, accuracy in enumerate((0.25, 0.75, 0.5)):
        view.note(number, {"val/accuracy": accuracy}, VAL)
        view.note(number, {"loss": 2 - accuracy}, {"loss": "loss"})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(view.table())
    _, loss, val = (line.split() for line in console.export_text().splitlines())
    assert loss == ["loss", "1.750", "(0)", "1.500", "(2)", "1.250", "(1)"]
    assert val == ["val", "25.0", "%", "(0)", "50.0", "%", "(2)", "75.0", "%", "(1)"]


class Phases(RolloutCallback):
    def __init__(self) -> None:
        self.listeners, self.ahead = [], None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tell("val", 0, {"val/accuracy": 0.25}, trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tell("train", trainer.current_epoch, {"reward/total": 0.5}, trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tell("val", trainer.current_epoch + 1, {"val/accuracy": 0.75}, trainer)

    def _tell(self, kind: str, phase: int, metrics: dict[str, float], trainer: L.Trainer) -> None:
        self.on_progress(f"{kind}/{phase}", 1, 1)
        for listener in self.listeners:
            listener(PhaseReport(kind, phase, 0, [], metrics), trainer)


def fit(folder: Path, *, fails: bool = False) -> None:
    class Model(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if fails:
                raise KeyError("odd")
            return super().training_step(batch, batch_idx)

    L.Trainer(
        max_epochs=2, limit_train_batches=1, limit_val_batches=0, logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[Phases(), PhaseProgress()], default_root_dir=str(folder),
    ).fit(Model())  # fmt: skip


def test_a_log_has_a_line_per_phase_and_the_runs_log_has_them_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logged_to(tmp_path):
        fit(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "after 0 of 2  val 25.0 %"
    assert lines[1].startswith("epoch 1 of 2  reward 0.500  ")
    assert "val 75.0 % after 2" in lines[2]
    assert " left" not in lines[2]
    assert lines[3].split() == ["first", "last", "best"]
    assert lines[-1] == f"log    {tmp_path}/run.log"
    logged = (tmp_path / "run.log").read_text()
    assert all(f" INFO    {line}\n" in logged for line in lines[:3])


def test_an_error_ends_the_drawing_and_leaves_its_traceback_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "screen", lambda: Console(force_terminal=True, width=80))
    with pytest.raises(KeyError), logged_to(tmp_path):
        fit(tmp_path, fails=True)
    out = capsys.readouterr().out
    assert out.count("\x1b[?25l") == out.count("\x1b[?25h") == 1  # the cursor is there again
    assert "training_step" in (tmp_path / "run.log").read_text()


def test_a_notebook_has_one_output_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    class Output:
        def update(self, html: Any) -> None:
            shown.append(html.data)

    monkeypatch.setattr(module, "is_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda html, display_id: Output())
    fit(tmp_path)
    assert capsys.readouterr().out == ""
    assert "epoch 1 of 2" in shown[0]
    assert "<td>val</td><td>25.0 % (0)</td><td>75.0 % (2)</td>" in shown[-1]
    assert str(tmp_path) in shown[-1]
    assert shown[-1].count("<svg") == 2  # accuracy by evaluations, reward
