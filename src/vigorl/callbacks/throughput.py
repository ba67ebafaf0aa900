"""Where the time of a phase goes, and how much memory it takes."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch

from vigorl.core.process_memory import forget_peak, give_back, peak_bytes, resident_bytes

GIB = 2**30
GIVE_BACK_EVERY = 4  # epochs: to fault it in again takes 3 % of a tiny phase


class Throughput(L.Callback):
    """Logs per epoch, of this rank:

    `time/phase_s`, with the rollouts and without the evaluation, and `time/update_s`, from the
    first micro-batch's start to the last one's end;
    `perf/memory_gib`, what the device holds when the epoch is over (of a CPU, this process), and
    `perf/memory_peak_gib`, the most it held in the epoch;
    `perf/host_mb_per_rollout`, how far this process' memory rose above its start of the phase,
    per rollout: pictures, crops, features on a CPU, and what learning takes. Of a process, the two
    are left out where the system cannot be told to forget a peak (not Linux).

    After every fourth epoch, memory that was freed goes back to the system. It stands before the
    callbacks whose time it takes.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_started = time.perf_counter()
        self._update_started: float | None = None
        self._can_forget = forget_peak()
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        self._host_bytes = resident_bytes()

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
        now, host_peak, started = time.perf_counter(), peak_bytes(), self._update_started
        metrics = {
            "time/phase_s": now - self._epoch_started,
            "time/update_s": 0.0 if started is None else self._update_ended - started,
        }
        plan = getattr(trainer.datamodule, "plan", None)  # pyright: ignore[reportAttributeAccessIssue]
        if plan is not None and self._can_forget:
            num_own = plan.rollouts_per_phase / trainer.world_size
            metrics["perf/host_mb_per_rollout"] = (host_peak - self._host_bytes) / 1e6 / num_own
        if (trainer.current_epoch + 1) % GIVE_BACK_EVERY == 0:
            give_back()
        held, peak = resident_bytes(), host_peak
        if pl_module.device.type == "cuda":
            held = torch.cuda.memory_allocated(pl_module.device)
            peak = torch.cuda.max_memory_allocated(pl_module.device)
        metrics["perf/memory_gib"] = held / GIB
        if self._can_forget or pl_module.device.type == "cuda":
            metrics["perf/memory_peak_gib"] = peak / GIB
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
