"""Rollouts as pictures beside the curves of W&B and TensorBoard; MLflow has whole pages."""

from __future__ import annotations

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.data.images import ImageStore
from vigorl.pages.picture import rollout_picture
from vigorl.pages.rollouts import pick_worst_and_best


class RolloutPictures(L.Callback):
    """Sends a few rollouts of lowest and highest reward, with their points, windows and views, as
    `train/rollouts` and `val/rollouts`.

    Args:
        images: Pictures of views.
        every: Phases between pictures; the first phase and every evaluation always have some.
        num_rollouts: At most.
    """

    def __init__(self, *, images: ImageStore, every: int = 25, num_rollouts: int = 4) -> None:
        self.images, self.every, self.num_rollouts = images, every, num_rollouts

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.listeners.append(self._show)

    def _show(self, report: PhaseReport, trainer: L.Trainer) -> None:
        is_due = report.kind != "train" or report.phase % self.every == 0
        if not (is_due and trainer.is_global_zero):
            return
        seen = [one for one in report.scored if one.rollout.prompt_views]
        chosen = [one for (one,) in pick_worst_and_best(seen, self.num_rollouts)]
        pictures = [rollout_picture(one, self.images) for one in chosen]
        name = f"{report.kind}/rollouts"
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and pictures:
                captions = [f"reward {one.reward.total:.3f}" for one in chosen]
                logger.log_image(name, list(pictures), caption=captions)
            elif isinstance(logger, TensorBoardLogger):
                for number, picture in enumerate(pictures):
                    logger.experiment.add_image(
                        f"{name}/{number}",
                        np.asarray(picture),
                        trainer.global_step,
                        dataformats="HWC",
                    )
