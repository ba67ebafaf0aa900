"""Checkpoints that survive kill -9 at any moment, and the model as a Hugging Face folder at the
end.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from vigorl.callbacks.early_stop import EarlyStop
from vigorl.callbacks.mlflow_logger import send, shown_name
from vigorl.core.digests import check_digests, digest_path, write_digest, write_folder_digests
from vigorl.core.errors import ConfigError, DataError, VigorlError
from vigorl.core.spans import Kind, span
from vigorl.models.parts import held
from vigorl.outbox.operations import LogModel
from vigorl.ranks import from_all_ranks
from vigorl.rollout.chat_files import CHAT, add_chat_files
from vigorl.training.policy_module import PolicyModule
from vigorl.training.tensor_files import tensors_only

_LOG = logging.getLogger(__name__)
_OF_ZIPFILE = (  # what it raises on damage
    zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, LookupError,
)  # fmt: skip
_NAME = re.compile(r"phase-(\d+)\.ckpt$")


class PhaseCheckpoint(Checkpoint):
    """Saves after whole phases: written beside its place, then moved there, so a file with its name
    is complete.

    Everything a phase does follows from its number, the seed and the weights, so weights, optimizer
    and schedule are all the state there is, beside the data module's solve rates (with a sampler),
    rollouts that were made ahead (with overlap) and what `EarlyStop` has seen. Lightning runs
    checkpoint callbacks last: the evaluation of a phase is logged and judged before it is saved.

    With an `EarlyStop` the best phase's weights are the trained model, the start's where no phase
    was better. They wait beside `model_folder` (model.best-00003), and superseded ones are removed
    only when a checkpoint that knows the successor stands: a run that is killed goes on with the
    best of the checkpoint that it goes on from.

    Args:
        folder: Of the checkpoints.
        every: Phases between saves; the last phase is always saved.
        keep: Newest checkpoints to keep.
        model_folder: The trained model goes here as a Hugging Face folder, when training has ended;
            None writes none.
        model_dtype: Of the saved weights; None keeps the training's.
        log_model: Also as a logged model of MLflow, with the last metrics.
        register_as: That model also becomes a new version of this one in MLflow's registry.
        describe: Called with that folder and how many phases its model has had; writes its card.
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
        register_as: str | None = None,
        describe: Callable[[Path, int], None] | None = None,
    ) -> None:
        if register_as is not None and (model_folder is None or not log_model):
            raise ConfigError(
                f"checkpoint.register_as={register_as} registers the logged model: set "
                "checkpoint.log_model=true and checkpoint.model_folder"
            )
        if every < 1 or keep < 1:
            raise ConfigError(f"checkpoint.every={every} and keep={keep} must be at least 1")
        self.folder, self.every, self.keep = Path(folder), every, keep
        self.model_folder = Path(model_folder) if model_folder else None
        self.model_dtype = getattr(torch, model_dtype) if model_dtype else None
        self.log_model, self.register_as, self.describe = log_model, register_as, describe
        self._early_stop: EarlyStop | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, EarlyStop):
                self._early_stop = callback
        self.folder.mkdir(parents=True, exist_ok=True)  # before a phase is paid for

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._keep_best(trainer, pl_module, done=0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done = trainer.current_epoch + 1
        if not all(from_all_ranks(_is_finite(pl_module))):
            raise VigorlError(
                f"after phase {done} a weight is not finite, so nothing is saved: the newest "
                f"checkpoint in {self.folder} is from before; go on from it with a lower "
                "optimizer.lr, or in float32"
            )
        self._keep_best(trainer, pl_module, done=done)
        if done % self.every == 0 or done == trainer.max_epochs or trainer.should_stop:
            path = self.folder / f"phase-{done:05d}.ckpt"
            with span(Kind.CHECKPOINT), _written_whole(trainer, path) as part:
                trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                self._remove_old()
            trainer.strategy.barrier()

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.model_folder is None or not isinstance(pl_module, PolicyModule):
            return
        best = self._best_folder()
        if best is None:
            self._write_model(trainer, pl_module, self.model_folder)
        elif trainer.is_global_zero and (best.exists() or not self.model_folder.exists()):
            # a finished run that is resumed has moved it already
            if not best.exists():
                raise VigorlError(
                    f"{self.model_folder} is gone, with the best phase's weights; python -m "
                    "vigorl.export writes those of a checkpoint"
                )
            _remove(self.model_folder)
            best.rename(self.model_folder)
        trainer.strategy.barrier()  # a next stage loads it
        if not trainer.is_global_zero:
            return
        if self.describe is not None:
            best_phase = self._early_stop.best_phase if self._early_stop is not None else None
            done = trainer.current_epoch if best_phase is None else best_phase
            self.describe(self.model_folder, done)
        _LOG.info("the trained model is in %s", self.model_folder)
        model = LogModel(
            str(self.model_folder),
            name=self.model_folder.parent.name,
            step=trainer.global_step,
            metrics=[
                shown for name in trainer.callback_metrics if (shown := shown_name(name)) != name
            ],
            register_as=self.register_as,
        )
        for logger in trainer.loggers if self.log_model else ():
            send(logger, model)

    def _keep_best(self, trainer: L.Trainer, module: L.LightningModule, *, done: int) -> None:
        best = self._best_folder()
        is_new = self._early_stop is not None and self._early_stop.best_phase == done
        if is_new and best is not None and isinstance(module, PolicyModule):
            self._write_model(trainer, module, best)

    def _best_folder(self) -> Path | None:
        """Of the best phase so far; None where none is judged or no model is written."""
        phase = self._early_stop.best_phase if self._early_stop is not None else None
        if phase is None or self.model_folder is None:
            return None
        return self.model_folder.with_name(f"{self.model_folder.name}.best-{phase:05d}")

    def _write_model(self, trainer: L.Trainer, module: PolicyModule, folder: Path) -> None:
        with _written_whole(trainer, folder) as part:
            module.policy.save_pretrained(part, dtype=self.model_dtype)
            if trainer.is_global_zero:
                add_chat_files(part, self.folder.parent / CHAT)

    def _remove_old(self) -> None:
        for old in list_checkpoints(self.folder)[: -self.keep]:
            _remove(old)
        if self.model_folder is not None:
            for folder in self.model_folder.parent.glob(f"{escape(self.model_folder.name)}.best-*"):
                if folder != self._best_folder():
                    _remove(folder)


def _is_finite(module: L.LightningModule) -> bool:
    """Of the weights that this rank holds and that learn; ZeRO-3 keeps them elsewhere."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    own = [held(vars(weight).get("ds_tensor", weight)) for weight in trained]
    return all(bool(torch.isfinite(weight).all()) for weight in own)


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in Path(folder).glob("phase-*.ckpt") if _NAME.search(path.name)]
    return sorted(found, key=lambda path: int(_NAME.search(path.name).group(1)))  # pyright: ignore[reportOptionalMemberAccess]


def newest_whole(folder: str | Path) -> Path | None:
    """The newest checkpoint that holds what was written; damaged newer ones are put aside.

    Returns:
        None where no checkpoint was written yet.
    Raises:
        ConfigError: There are some, and all are damaged.
    """
    found = list_checkpoints(folder)
    for path in reversed(found):
        try:
            check_whole(path, parts=("state_dict", "optimizer_states", "loops"))
        except DataError as error:
            aside = path.with_name(f"{path.name}.damaged")
            _remove(aside)
            path.rename(aside)
            _LOG.warning("%s. It is now %s, and an older one is gone on from", error, aside.name)
        else:
            return path
    if found:
        raise ConfigError(
            f"{folder}: of {len(found)} checkpoints none is whole; resume again to train anew from "
            "the start"
        )
    return None


def check_whole(path: Path, *, parts: Sequence[str] = ("state_dict",)) -> None:
    """Of a checkpoint: whether it is as it was written, by its digest, or else by the checksums
    that every zip file has; and whether it is one of this trainer.

    Args:
        path: A file, or the folder that DeepSpeed makes.
        parts: That it must have.
    Raises:
        DataError: It is damaged, or something else.
        ConfigError: Reading it could run code.
    """
    has_digest = check_digests(path)
    if path.is_dir():
        if not (path / "checkpoint").is_dir():
            raise DataError("is a folder, and not one of DeepSpeed's", path=path)
        return
    try:
        with zipfile.ZipFile(path) as file:
            damaged = None if has_digest else file.testzip()
            is_of_torch = any(name.endswith("/data.pkl") for name in file.namelist())
    except (*_OF_ZIPFILE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to where nothing is
            raise
        raise DataError(f"is cut, or not a checkpoint ({error})", path=path) from error
    if damaged is not None:
        raise DataError(f"is damaged at {damaged}", path=path)
    found: object = None
    if is_of_torch:
        with tensors_only(path):
            found = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    if not isinstance(found, dict) or not set(parts) <= found.keys():
        raise DataError(f"is no checkpoint of vigorl: it has no {', '.join(parts)}", path=path)


@contextmanager
def _written_whole(trainer: L.Trainer, path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; once all ranks have, it is moved there with its digest."""
    part = path.with_name(path.name + ".part")
    if trainer.is_global_zero:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
    trainer.strategy.barrier()
    try:
        yield part
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            if part.is_dir():
                write_folder_digests(part, [one for one in part.rglob("*") if one.is_file()])
            else:
                write_digest(path, of=part)
            _remove(path, with_digest=part.is_dir())
            part.rename(path)
    except BaseException:
        if trainer.is_global_zero:
            _remove(part)
        raise
    trainer.strategy.barrier()


def _remove(path: Path, *, with_digest: bool = True) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)
    if with_digest:
        digest_path(path).unlink(missing_ok=True)
