"""One progress bar that tells a person what they want to know: which phase, doing what, how
well.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import lightning as L
from tqdm import tqdm

from vigorl.callbacks.rollout import PhaseReport, RolloutCallback


class PhaseProgress(L.Callback):
    """Shows phases (or epochs), what is going on inside one, the latest reward and accuracy, and
    where `EarlyStop` judges, which phase is the best.

    On a terminal it is one line that changes; elsewhere (a log file, CI) a line per report.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown: dict[str, str] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.listeners.append(self._report)
                callback.on_progress = self._generating

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self._bar = tqdm(
                total=trainer.max_epochs,
                initial=trainer.current_epoch,
                unit="phase",
                dynamic_ncols=True,
                disable=not sys.stderr.isatty(),
            )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        num_batches = trainer.num_training_batches
        if num_batches != math.inf:
            self._doing(f"update {batch_idx + 1}/{num_batches}")
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None and "reward" not in self._shown:
            self._shown["loss"] = f"{float(loss):.3f}"

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (best := trainer.callback_metrics.get("best/phase")) is not None:
            self._shown["best"] = f"phase {int(best)}"
        if self._bar is not None:
            self._bar.update(1)
            if self._bar.disable and "reward" not in self._shown:
                print(f"epoch {trainer.current_epoch}  {self._text()}", flush=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()

    def _generating(self, name: str, done: int, total: int) -> None:
        if done % 16 == 0 or done == total:
            self._doing(f"{name.split('/')[0]} rollouts {done}/{total}")

    def _doing(self, what: str) -> None:
        if self._bar is not None:
            self._bar.set_description(what, refresh=False)
            self._bar.set_postfix(self._shown)

    def _report(self, report: PhaseReport, trainer: L.Trainer) -> None:
        if report.kind == "train":
            self._shown["reward"] = f"{report.metrics['reward/total']:.3f}"
            self._shown["accuracy"] = f"{report.metrics['rollout/accuracy']:.3f}"
        else:
            self._shown["val"] = f"{report.metrics['val/accuracy']:.3f}"
        if self._bar is not None and self._bar.disable:
            print(f"{report.kind} phase {report.phase}  {self._text()}", flush=True)

    def _text(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self._shown.items())
