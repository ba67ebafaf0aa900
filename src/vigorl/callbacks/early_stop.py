"""Which phase was the best, and when to stop waiting for a better one.

Lightning's EarlyStopping judges whatever `callback_metrics` holds at the end of an epoch, so with
`rollout.eval_every` above 1 it counts one evaluation several times. It leaves out the evaluation
before the first update, goes by the checkpoint's patience instead of what a resumed run is told,
and trains on when a run that it has stopped is resumed.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import lightning as L
import torch

from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError
from vigorl.outbox.operations import SetTags
from vigorl.training.sft_module import SFTModule

_LOG = logging.getLogger(__name__)
_FALLING = ("nll", "loss")  # ends of names of metrics that are better when they are lower


class EarlyStop(L.Callback):
    """Judges every evaluation, the one before the first update included; `PhaseCheckpoint` keeps
    the best one's weights. Stands after the rollout callback.

    Logs `best/METRIC` and `best/phase`; at the end a line, also the MLflow tag `early_stop`, says
    which phase was the best and whether it stopped the run. The learning rate does not know: a
    schedule that falls over `max_epochs` is left where it was.

    Args:
        metric: Measured on held-out data: "val/nll", or "val/..." of the evaluation by generation.
        mode: "max" where higher is better, else "min".
        patience: Evaluations without improvement after which training stops; None never stops.
        min_delta: What is not better by more than this, in the metric's unit, is no improvement to
            the patience; the best is the best however little it wins by.

    Attributes:
        best_score: None before the first finite one.
        best_phase: Phases done (SFT: epochs) when it was found; 0 is the start. A tie goes to the
            earlier, but never to the start.
        num_waited: Evaluations since the last improvement.
    """

    def __init__(
        self,
        *,
        metric: str = "val/accuracy",
        mode: str = "max",
        patience: int | None = 2,
        min_delta: float = 0.0,
    ) -> None:
        if mode not in ("max", "min"):
            raise ConfigError(f"early_stop.mode must be max or min, got {mode!r}")
        if mode == "max" and metric.endswith(_FALLING):
            raise ConfigError(
                f"early_stop.metric={metric} is better when lower: set early_stop.mode=min"
            )
        if patience is not None and patience < 1:
            raise ConfigError(f"early_stop.patience must be at least 1, or null, got {patience}")
        if min_delta < 0:
            raise ConfigError(f"early_stop.min_delta must not be negative, got {min_delta}")
        self.metric, self.mode, self.patience, self.min_delta = metric, mode, patience, min_delta
        self.best_score: float | None = None
        self.best_phase: int | None = None
        self.num_waited = 0
        self._to_beat: float | None = None  # behind the best by up to min_delta

    @property
    def should_stop(self) -> bool:
        return self.patience is not None and self.num_waited >= self.patience

    def judge(self, score: float, *, phase: int) -> None:
        """Count one evaluation.

        Args:
            score: Of the metric; NaN and infinities are no improvement.
            phase: Phases done before it.
        """
        if self._is_better(score, self._to_beat, by=self.min_delta):
            self._to_beat, self.num_waited = score, 0
        else:
            self.num_waited += 1
        is_tie_with_start = self.best_phase == 0 and score == self.best_score
        if is_tie_with_start or self._is_better(score, self.best_score):
            self.best_score, self.best_phase = score, phase

    def state_dict(self) -> dict[str, Any]:
        return {
            "watched": (self.metric, self.mode),
            "best_score": self.best_score,
            "best_phase": self.best_phase,
            "num_waited": self.num_waited,
            "to_beat": self._to_beat,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ConfigError when the checkpoint's best is of another metric."""
        watched = state_dict["watched"]
        if watched != (self.metric, self.mode):
            raise ConfigError(
                f"early_stop.metric={self.metric} mode={self.mode}: the run to resume has its best "
                f"by {watched[0]} mode={watched[1]}; leave that, or begin a new run"
            )
        self.best_score, self.best_phase = state_dict["best_score"], state_dict["best_phase"]
        self.num_waited, self._to_beat = state_dict["num_waited"], state_dict["to_beat"]

    # ---- Lightning hooks -------------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._check_metric(trainer, pl_module)
        self._look(trainer, phase=trainer.current_epoch)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.callback_metrics.pop(self.metric, None)  # what is there at its end is new

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(trainer, phase=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        text = self._verdict(trainer.current_epoch)
        _LOG.log(logging.INFO if self.best_phase else logging.WARNING, text)
        for logger in trainer.loggers:
            send(logger, SetTags({"early_stop": text}))

    # ---- what they do ----------------------------------------------------------------------------

    def _look(self, trainer: L.Trainer, *, phase: int) -> None:
        """Judge what an evaluation has just found, if there was one; also of a resumed run, stop
        where that is settled.
        """
        score = trainer.callback_metrics.get(self.metric)
        if score is not None:
            # one number on all ranks: they save and stop together or wait for each other forever
            self.judge(trainer.strategy.broadcast(float(score)), phase=phase)
        if score is not None and self.best_score is not None and self.best_phase is not None:
            best = {f"best/{self.metric}": self.best_score, "best/phase": float(self.best_phase)}
            for logger in trainer.loggers:
                logger.log_metrics(best, step=trainer.global_step)
            trainer.callback_metrics.update({n: torch.tensor(v) for n, v in best.items()})
        trainer.should_stop = trainer.should_stop or self.should_stop

    def _check_metric(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        measured = sorted(name for name in trainer.callback_metrics if name.startswith("val/"))
        if isinstance(module, SFTModule) and sum(trainer.num_val_batches):
            measured.append("val/nll")  # for the first time after an epoch
        if self.metric not in measured:
            raise ConfigError(
                f"early_stop.metric={self.metric!r} is not measured in this run; set one of "
                f"{measured}, or early_stop=none"
            )

    def _is_better(self, score: float, than: float | None, *, by: float = 0.0) -> bool:
        if than is None or not math.isfinite(score):
            return math.isfinite(score)
        return score - than > by if self.mode == "max" else than - score > by

    def _verdict(self, num_phases: int) -> str:
        if self.best_phase is None:
            return f"early_stop.metric={self.metric} was never measured, so no phase is the best"
        text = f"{self.metric} was best after phase {self.best_phase} of {num_phases}"
        if self.best_phase == 0:
            text = (
                f"no phase of {num_phases} was better than the start, whose weights are the model "
                f"(python -m vigorl.export writes those of a checkpoint): {self.metric}"
            )
        stopped = f"; stopped by early_stop.patience={self.patience}" if self.should_stop else ""
        return f"{text}: {self.best_score:.4g}{stopped}"
