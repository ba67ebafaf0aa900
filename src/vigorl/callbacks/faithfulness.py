"""Asks during training whether the answers come from what was looked at: after every so many
evaluations, probes about some of their rollouts, logged as `val/faithfulness/...`.

The rollouts, their scores and everything that is learned stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import lightning as L

from vigorl.callbacks.rollout import RolloutCallback
from vigorl.rollout.probes.probe import Probe, Schedule


class Faithfulness(L.Callback):
    """Gives the rollout callback its evaluations' probes.

    Args:
        every: Evaluations from one to the next, the first included; None asks nothing.
        num_rollouts: Most rollouts of an engine's share that each probe is asked about; None takes
            all.
        probes: By name, whatever their own schedules.
    """

    def __init__(
        self, *, every: int | None, num_rollouts: int | None, probes: Mapping[str, Probe]
    ) -> None:
        self.every, self.num_rollouts, self.probes = every, num_rollouts, tuple(probes.values())

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self.every is None:
            return
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.eval_probes = self.probes
                callback.eval_schedule = Schedule(every=self.every, num_rollouts=self.num_rollouts)
