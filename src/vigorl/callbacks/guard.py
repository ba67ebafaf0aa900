"""An alarm for tools that fall out of use, and what is done about it.

A policy may find that guessing pays: a price on looks, a reward for form that a bare answer gets
more easily, a start that seldom looks. Reward and loss then look healthy while the tool dies out,
and once no rollout of a group looks nothing brings it back.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any

import lightning as L

from vigorl.callbacks.mlflow_logger import send
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.errors import ConfigError
from vigorl.core.rewards import WeightedReward
from vigorl.outbox.operations import SetTags

_LOG = logging.getLogger(__name__)


class GuardAction(StrEnum):
    """What follows an alarm, beside the warning."""

    WARN = "warn"  # nothing
    SWITCH = "switch"  # from the next phase on another reward judges
    STOP = "stop"  # the run ends after this phase


class ToolGuard(L.Callback):
    """Watches one metric of the training rollouts; the alarm goes off once in a run.

    Logs `guard/low_phases` (phases in a row that were low) and `guard/alarm` (1 from the alarm on)
    every phase; the alarm is a warning and the MLflow tag `guard`. All it knows is in the
    checkpoint.

    Args:
        metric: As it is logged, such as `rollout/zoomed_frac`.
        below: Low is under this; None leaves it out.
        below_best_frac: Low is also under this share of the highest value so far; None leaves it
            out.
        patience: Phases in a row that are low before the alarm, at least 1.
        action: See `GuardAction`.
        reward: What judges after a switch; None with other actions.
    Raises:
        ConfigError: A setting out of its range, missing or without effect.

    Attributes:
        alarm_phase: Phase of the alarm, from 0; None before.
    """

    def __init__(
        self,
        *,
        metric: str = "rollout/zoomed_frac",
        below: float | None = 0.05,
        below_best_frac: float | None = 0.5,
        patience: int = 3,
        action: GuardAction | str = GuardAction.WARN,
        reward: WeightedReward | None = None,
    ) -> None:
        if action not in list(GuardAction):
            raise ConfigError(
                f"guard.action must be one of {', '.join(GuardAction)}, got {action!r}"
            )
        if below is None and below_best_frac is None:
            raise ConfigError("guard: set guard.below or guard.below_best_frac, or guard=none")
        if patience < 1:
            raise ConfigError(f"guard.patience must be at least 1, got {patience}")
        if (action == GuardAction.SWITCH) != (reward is not None):
            raise ConfigError(
                "guard.reward is what guard.action=switch switches to, and for it alone"
            )
        self.metric, self.below, self.below_best_frac = metric, below, below_best_frac
        self.patience, self.action, self.reward = patience, GuardAction(action), reward
        self.num_low = 0
        self.best: float | None = None
        self.alarm_phase: int | None = None
        self._rollout: RolloutCallback | None = None

    def judge(self, value: float, *, phase: int) -> bool:
        """Count a phase; whether the alarm goes off now."""
        self.best = value if self.best is None else max(self.best, value)
        self.num_low = self.num_low + 1 if value < self.bound else 0
        goes_off = self.alarm_phase is None and self.num_low >= self.patience
        if goes_off:
            self.alarm_phase = phase
        return goes_off

    @property
    def bound(self) -> float:
        """Under it a value is low."""
        of_best = (self.below_best_frac or 0.0) * (self.best or 0.0)
        return max(self.below or 0.0, of_best)

    def state_dict(self) -> dict[str, Any]:
        return {"num_low": self.num_low, "best": self.best, "alarm_phase": self.alarm_phase}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_low, self.best = state_dict["num_low"], state_dict["best"]
        self.alarm_phase = state_dict["alarm_phase"]

    # ---- Lightning hooks -------------------------------------------------------------------------

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                self._rollout = callback
                callback.listeners.append(self._look)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._act(trainer)  # a run that is gone on with had its alarm before

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._act(trainer)

    # ---- what they do ----------------------------------------------------------------------------

    def _look(self, report: PhaseReport, trainer: L.Trainer) -> None:
        if report.kind != "train":
            return
        if self.metric not in report.metrics:
            measured = ", ".join(sorted(name for name in report.metrics if "rollout/" in name))
            raise ConfigError(f"guard.metric={self.metric!r} is not measured; there are {measured}")
        value = report.metrics[self.metric]
        goes_off = self.judge(value, phase=report.phase)
        counts = {
            "guard/low_phases": float(self.num_low),
            "guard/alarm": float(self.alarm_phase is not None),
        }
        for logger in trainer.loggers:
            logger.log_metrics(counts, step=trainer.global_step)
        if goes_off and trainer.is_global_zero:
            self._warn(value, trainer)

    def _warn(self, value: float, trainer: L.Trainer) -> None:
        follows = {
            GuardAction.WARN: "nothing is done about it (guard=switch, guard=stop)",
            GuardAction.SWITCH: f"from the next phase on reward {self._new_name!r} judges",
            GuardAction.STOP: "the run ends after this phase",
        }[self.action]
        text = (
            f"{self.metric} is {value:.3g} in phase {self.alarm_phase}, under {self.bound:.3g} for "
            f"guard.patience={self.patience} phases: the policy gives its tools up; {follows}"
        )
        _LOG.warning(text)
        for logger in trainer.loggers:
            send(logger, SetTags({"guard": text}))

    @property
    def _new_name(self) -> str:
        return self.reward.name if self.reward else ""

    def _act(self, trainer: L.Trainer) -> None:
        if self.alarm_phase is None:
            return
        if self.action is GuardAction.STOP:
            trainer.should_stop = True
        if self.reward is not None and self._rollout is not None:
            self._rollout.reward = self.reward
