"""What a run shows while it trains: which phase, doing what, how well, and when it will end."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from vigorl.callbacks.notebook_view import NotebookView, is_notebook
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.progress_view import TRAIN, VAL, ProgressView
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.run_log import NAME, RUN_LOG
from vigorl.terminal import drawn, screen
from vigorl.training.datamodule import GroundedTraceDataModule

_PLACES = {"model": "model", "pages": "index.html", "log": NAME}  # of a run's folder
_LOG_WIDTH = 100


class PhaseProgress(L.Callback):
    """Shows phases (or epochs), what is going on inside one, the latest reward, accuracy and zooms
    that hit, when the run will end, and where `EarlyStop` judges, which phase is the best; at the
    end a table of first, last and best.

    On a terminal it is two lines that change, in a notebook one output with the curves; elsewhere
    (a log file, CI) a line per phase, which RUN/run.log has too.
    """

    def __init__(self) -> None:
        self._view: ProgressView | None = None
        self._screen: Console | None = None
        self._notebook: NotebookView | None = None
        self._drawing = ExitStack()
        self._is_judged = False  # the phase that is going on, by an evaluation

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.listeners.append(self._report)
                callback.on_progress = self._generating

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            data: object = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
            has_phases = isinstance(data, GroundedTraceDataModule) and data.plan is not None
            self._view = ProgressView(
                total=trainer.max_epochs or 0,
                done=trainer.current_epoch,
                unit="phase" if has_phases else "epoch",
            )
            self._screen = screen()
            if is_notebook():
                self._notebook = NotebookView(self._view)
            elif self._screen is not None:
                self._drawing.enter_context(drawn(self._screen, self._view))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._view is not None:  # the first evaluation is no part of a phase
            self._view.mark = self._view.clock()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        num_batches = trainer.num_training_batches
        if self._view is not None and num_batches != math.inf:
            self._does(f"update {batch_idx + 1} of {num_batches}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._view is None:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        done = self._view.done + 1
        if self._view.unit == "epoch":
            self._view.note(done, metrics, {"train/loss": "loss", "val/nll": "val nll"})
        if "best/phase" in metrics:
            self._view.best = int(metrics["best/phase"])
        self._view.finish_one()
        self._say(self._view.line(), kept=self._view.judged() if self._is_judged else "")
        self._is_judged = False

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._does("writes the model")

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._drawing.close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._drawing.close()
        if self._view is None or self._view.done == self._view.num_before:
            return
        folder = Path(trainer.default_root_dir)
        if self._notebook is not None:
            self._notebook.draw(at_once=True, below=str(folder))
            return
        console = self._screen or Console(width=_LOG_WIDTH, highlight=False)
        console.print(self._view.table())
        print(self._view.summary())
        for name, place in _PLACES.items():
            if (folder / place).exists():
                print(f"{name:<6} {folder / place}", flush=True)

    def _generating(self, name: str, done: int, total: int) -> None:
        self._does(f"{name.split('/')[0]} rollouts {done} of {total}")

    def _does(self, what: str) -> None:
        if self._view is not None:
            self._view.doing = what
        if self._notebook is not None:
            self._notebook.draw()

    def _report(self, report: PhaseReport, trainer: L.Trainer) -> None:
        if self._view is None:
            return
        if report.kind == "train":
            self._view.note(report.phase + 1, report.metrics, TRAIN)
            self._view.is_flat = report.metrics.get("groups/flat_accuracy_frac") == 1
            return
        self._view.note(report.phase, report.metrics, VAL)
        self._is_judged = report.phase > 0
        if report.phase == 0:  # the others are part of their phase's line
            self._say(self._view.judged(), kept=self._view.judged())

    def _say(self, line: str, *, kept: str) -> None:
        """To the log; on a screen, only what is to stay above that which changes."""
        RUN_LOG.info(line)
        if self._notebook is not None:
            self._notebook.draw(at_once=True)
        elif shown := line if self._screen is None else kept:
            print(shown, flush=True)
