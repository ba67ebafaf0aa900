"""Where the time of a phase goes, and how much memory it takes."""

from __future__ import annotations

import resource
import time
from typing import Any

import lightning as L
import torch


class Throughput(L.Callback):
    """Logs `time/update_s` (from the first micro-batch's start to the last one's end),
    `time/phase_s` (with the rollouts, without the evaluation) and `perf/memory_gib` per epoch. It
    stands before the callbacks whose time it takes.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_started = time.perf_counter()
        self._update_started: float | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._update_started is None:
            self._update_started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._update_ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        now = time.perf_counter()
        started = self._update_started
        metrics = {
            "time/phase_s": now - self._epoch_started,
            "time/update_s": 0.0 if started is None else self._update_ended - started,
            "perf/memory_gib": _peak_memory_gib(pl_module.device),
        }
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)


def _peak_memory_gib(device: torch.device) -> float:
    """Of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
