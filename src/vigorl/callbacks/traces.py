"""Rollouts as MLflow traces: which of them, so that a run's number and bytes have bounds."""

from __future__ import annotations

import math
from collections import Counter

import lightning as L

from vigorl.callbacks.mlflow_logger import now_ms, send
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.callbacks.rollout_logger import RolloutLogger
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.pages.rollouts import pick_groups, pick_worst_and_best


class RolloutTraces(L.Callback):
    """Sends whole groups of every phase, as many as `max_traces` leaves to it, and some rollouts of
    every evaluation: by turns the widest spread of rewards, the best and the worst.

    A run has at most (max_traces + max_val_traces) x max_kib of pictures. On several ranks they are
    the first rank's. What MLflow gets is read from the records of `RolloutLogger`, by a process of
    its own; a phase pays for a line in a file.

    Args:
        max_traces: Of a run's training phases together; 0 sends none.
        max_val_traces: Of its evaluations together.
        max_phase_traces: Of one phase or evaluation, however few there are.
        max_kib: Of a trace's pictures.
        max_side_px: Larger pictures are shown smaller.
    """

    def __init__(
        self,
        *,
        max_traces: int = 400,
        max_val_traces: int = 200,
        max_phase_traces: int = 8,
        max_kib: int = 128,
        max_side_px: int = 448,
    ) -> None:
        self.max_traces, self.max_val_traces = max_traces, max_val_traces
        self.max_phase_traces = max_phase_traces
        self.max_kib, self.max_side_px = max_kib, max_side_px
        self._rollouts: RolloutCallback | None = None
        self._records: RolloutLogger | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                self._rollouts = callback
            if isinstance(callback, RolloutLogger):
                self._records = callback
        if self._rollouts is None:
            return
        if self._records is None:
            raise ConfigError("callbacks.traces reads the records of callbacks.rollout_logger")
        self._rollouts.listeners.append(self._send)  # after the recorder's

    def _send(self, report: PhaseReport, trainer: L.Trainer) -> None:
        chosen = self._chosen(report, max(trainer.max_epochs or 1, 1))
        if not chosen or not trainer.is_global_zero:
            return
        assert self._records is not None
        places = {id(one): place for place, one in enumerate(report.scored)}
        traces = RecordedTraces(
            str(self._records.record_path(report, trainer)),
            [places[id(one)] for one in chosen],
            now_ms(),
            max_side_px=self.max_side_px,
            max_kib=self.max_kib,
        )
        for logger in trainer.loggers:
            send(logger, traces)

    def _chosen(self, report: PhaseReport, num_phases: int) -> list[ScoredRollout]:
        if not report.scored:
            return []
        if report.kind == "val":
            assert self._rollouts is not None
            every = self._rollouts.eval_every
            num_evaluations = 1 + (math.ceil(num_phases / every) if every else 1)
            num = min(self.max_val_traces // num_evaluations, self.max_phase_traces)
            picked = pick_worst_and_best(report.scored, num=num)
        else:
            largest = max(Counter(one.rollout.group for one in report.scored).values())
            most = self.max_traces // largest
            num = num_due(report.phase, num_phases=num_phases, most=most)
            num = min(num, max(self.max_phase_traces // largest, 1))
            picked = pick_groups(report.scored, num=num)
        return [one for group in picked for one in group]


def num_due(phase: int, *, num_phases: int, most: int) -> int:
    """How many of at most `most` things are a phase's, where all phases get as many.

    >>> [num_due(phase, num_phases=4, most=6) for phase in range(4)]
    [1, 2, 1, 2]
    """
    return most * (phase + 1) // num_phases - most * phase // num_phases
