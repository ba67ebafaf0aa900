"""What `against_trl_turns.py` puts into a training by its settings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import lightning as L

from vigorl.training.algorithms.grpo import GRPO


class PhaseClock(L.Callback):
    """CPU seconds of the process with all its threads, from the beginning of a phase's rollouts to
    the end of its update, without what evaluates, saves or draws. Stands where `Throughput` does.

    Attributes:
        phases: Of each the whole, and the update within.
    """

    phases: ClassVar[list[tuple[float, float]]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begun, self._learning = time.process_time(), 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._learning = self._learning or time.process_time()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        now = time.process_time()
        self.phases.append((now - self._begun, now - self._learning))


@dataclass(frozen=True, slots=True, kw_only=True)
class FromAll(GRPO):
    """Reads the rollouts without advantage too, as TRL does; the gradient is the same."""

    @property
    def needs_zero_advantages(self) -> bool:
        return True
