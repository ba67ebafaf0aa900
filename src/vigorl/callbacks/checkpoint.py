"""Checkpoints that survive kill -9 at any moment, and the model as a Hugging Face folder at the
end.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import MLFlowLogger

from vigorl.core.errors import ConfigError
from vigorl.training.policy_module import PolicyModule

_NAME = re.compile(r"phase-(\d+)\.ckpt$")


class PhaseCheckpoint(Checkpoint):
    """Saves after whole phases: written beside its place, then moved there, so a file with its name
    is complete.

    Everything a phase does follows from its number, the seed and the weights, so weights, optimizer
    and schedule are all the state there is, with the data module's solve rates where difficulty
    counts. Lightning runs checkpoint callbacks last: the
    evaluation of a phase is logged before it is saved.

    Args:
        folder: Of the checkpoints.
        every: Phases between saves; the last phase is always saved.
        keep: Newest checkpoints to keep.
        model_folder: The trained model goes here as a Hugging Face folder; None writes none.
        model_dtype: Of the saved weights; None keeps the training's.
        log_model: Also as an artifact of the MLflow run.
    """

    def __init__(
        self,
        *,
        folder: str,
        every: int = 10,
        keep: int = 2,
        model_folder: str | None = None,
        model_dtype: str | None = None,
        log_model: bool = True,
    ) -> None:
        if every < 1 or keep < 1:
            raise ConfigError(f"checkpoint.every={every} and keep={keep} must be at least 1")
        self.folder, self.every, self.keep = Path(folder), every, keep
        self.model_folder = Path(model_folder) if model_folder else None
        self.model_dtype = getattr(torch, model_dtype) if model_dtype else None
        self.log_model = log_model

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done = trainer.current_epoch + 1
        if done % self.every == 0 or done == trainer.max_epochs:
            self._save(trainer, self.folder / f"phase-{done:05d}.ckpt")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.model_folder is None or not isinstance(pl_module, PolicyModule):
            return
        pl_module.policy.save_pretrained(self.model_folder, dtype=self.model_dtype)
        trainer.strategy.barrier()  # a next stage loads it
        if self.log_model and trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, MLFlowLogger):
                    logger.experiment.log_artifacts(logger.run_id, str(self.model_folder), "model")

    def _save(self, trainer: L.Trainer, path: Path) -> None:
        part = path.with_name(path.name + ".part")
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove(part)
        trainer.strategy.barrier()
        trainer.save_checkpoint(part)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            _remove(path)
            part.rename(path)
            for old in list_checkpoints(self.folder)[: -self.keep]:
                _remove(old)
        trainer.strategy.barrier()


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in Path(folder).glob("phase-*.ckpt") if _NAME.search(path.name)]
    return sorted(found, key=lambda path: int(_NAME.search(path.name).group(1)))  # pyright: ignore[reportOptionalMemberAccess]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
