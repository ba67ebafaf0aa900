"""A run's folder and its MLflow run: begun, or gone on with.

RUN/config.yaml     the resolved settings
RUN/run.json        which MLflow run it is, and what its command lines said
RUN/data.json       fingerprints of the records that it learns from and is watched on
RUN/checkpoints/    phase-00010.ckpt ...
RUN/rollouts/       pages and JSONL records
RUN/metrics.jsonl   what was measured, a line per phase
RUN/index.html      the run at a glance, and the way to its pages
RUN/model/          the trained model, a Hugging Face folder; with early_stop, until the end,
                    RUN/model.best-00003/ of the best phase so far
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, MLFlowLogger
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE
from omegaconf import DictConfig, OmegaConf

from vigorl.callbacks.checkpoint import newest_whole
from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError, DataError
from vigorl.mlflow_store import begun_run, without_passwords
from vigorl.outbox.operations import LogArtifact, LogInputs, SetTags
from vigorl.own_objects import objects_in
from vigorl.processes import from_first_process, is_first_process
from vigorl.run_description import data_used, description, parent_of, run_name, run_tags
from vigorl.run_folder import (
    RUN_FORMAT,
    Identity,
    check_data,
    identity_files,
    read_identity,
    read_settings,
    remove_unused,
    write_identity,
    write_settings,
)
from vigorl.run_settings import changed_settings, flatten, said_of
from vigorl.stopping import Stopped
from vigorl.training.datamodule import GroundedTraceDataModule

_LOG = logging.getLogger(__name__)
PACKAGES = ("vigorl", "torch", "transformers", "lightning", "mlflow")


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run writes, what it logs to, and what it goes on from.

    Attributes:
        folder: Folder of all its files.
        logger: Lightning's.
        is_resumed: Rather than begun.
        checkpoint: To go on from, or None at a fresh start.
        is_new_in_mlflow: Resumed, while MLflow has deleted its run.
    """

    folder: Path
    logger: Logger
    is_resumed: bool = False
    checkpoint: Path | None = None
    is_new_in_mlflow: bool = False

    @property
    def mlflow_id(self) -> str:
        """Of its MLflow run; "" with another logger."""
        return str(self.logger.run_id) if isinstance(self.logger, MLFlowLogger) else ""

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: object, *_: object) -> None:
        """One that raised says so in MLflow; refused before it made anything, it has no folder."""
        status = "KILLED" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
        self.logger.finalize(status if kind else "success")
        if isinstance(error, ConfigError | DataError) and not self.is_resumed:
            remove_unused(self.folder)

    def record(self, cfg: DictConfig, datamodule: Any) -> None:
        """Settings, versions, commit and what data it is fed; of a resumed run, what changed."""
        if not is_first_process():
            return
        path = self.folder / "config.yaml"
        changed: Mapping[str, tuple[Any, Any]] = {}
        if self.is_resumed and path.exists():
            changed = self._record_changes(cfg)
        else:
            write_settings(path, cfg)
            if self.is_resumed:
                _LOG.warning("%s was missing; it is written anew from what run.json says", path)
        prints: dict[str, str] = {}
        counts: dict[str, int] = {}
        if isinstance(datamodule, GroundedTraceDataModule):
            datamodule.prepare_data()
            datamodule.setup()
            prints = datamodule.fingerprints()
            counts = {f"data/{k}": len(rows) for k, rows in datamodule.splits.records.items()}
            may_differ = any(key.partition(".")[0] == "data" for key in changed)
            check_data(self.folder / "data.json", prints, may_differ=may_differ)
        if self.is_resumed and not self.is_new_in_mlflow:
            return  # MLflow takes no parameter twice
        flat = flatten(OmegaConf.to_container(cfg, resolve=True))
        flat = {key: without_passwords(value) for key, value in flat.items()}
        flat |= {f"version.{name}": version(name) for name in PACKAGES} | prints
        self.logger.log_hyperparams(flat)
        if self.mlflow_id:
            self._present(cfg, prints, counts)

    def _present(
        self, cfg: DictConfig, prints: Mapping[str, str], counts: Mapping[str, int]
    ) -> None:
        """Its name, tags, description and records in MLflow."""
        said, parent, commit = said_of(cfg), parent_of(cfg), git_commit()
        door = HydraConfig.get().job.config_name if HydraConfig.initialized() else "train"
        note = description(
            cfg, door=str(door), said=said, run_id=self.mlflow_id, commit=commit, parent=parent,
            prints=prints,
        )  # fmt: skip
        named = {MLFLOW_RUN_NAME: run_name(cfg, said), MLFLOW_RUN_NOTE: note}
        self._tag({"git.commit": commit} | run_tags(cfg, parent) | named)
        source = parent.run_id if parent else None
        used = data_used(cfg, prints, counts=counts)
        if used or source:
            send(self.logger, LogInputs(used, model_of=source))

    def _record_changes(self, cfg: DictConfig) -> Mapping[str, tuple[Any, Any]]:
        """A further resume goes on with what this command line said; MLflow's parameters stay."""
        if said := said_of(cfg):
            for path in identity_files(Path(cfg.paths.base)):
                write_identity(path, read_identity(path).model_copy(update={"overrides": said}))
        config = self.folder / "config.yaml"
        changed = changed_settings(read_settings(config), cfg)
        if changed:
            write_settings(config, cfg)
            at = self.checkpoint.stem if self.checkpoint else "the start"
            self._tag({f"changed.{k}": f"{a} -> {b} at {at}" for k, (a, b) in changed.items()})
        return changed

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the MLflow run."""
        if tags:
            send(self.logger, SetTags(tags))

    def _tag(self, tags: Mapping[str, str]) -> None:
        self.tag(tags)
        config = str(self.folder / "config.yaml")
        send(self.logger, LogArtifact(config))


def start_run(cfg: DictConfig, *, said: Sequence[str] | None = None) -> Run:
    """A new run in `paths.run`, or the one in `resume`.

    Args:
        cfg: Its settings.
        said: The command line that gives them, where it is not the process's own.
    Raises:
        ConfigError: `resume` names a folder that is not a run.
    """
    if cfg.get("resume"):
        return _resumed(cfg)
    agree_on_base(cfg)
    agree_on(cfg, "paths.run")
    folder = Path(cfg.paths.run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"paths.run={folder} cannot be made: {error.strerror}") from error

    def begin() -> str:  # by one process
        run_id = begun_run(cfg)
        write_identity(
            folder / "run.json",
            Identity(
                format=RUN_FORMAT,
                mlflow_run_id=run_id,
                overrides=said_of(cfg) if said is None else list(said),
                objects=objects_in(cfg),
            ),
        )
        return run_id or ""

    return Run(folder, _logger(cfg, from_first_process(cfg, f"{cfg.name} run", begin)))


def _logger(cfg: DictConfig, run_id: str | None) -> Logger:
    return instantiate(cfg.logger, **({"run_id": run_id} if run_id else {}))


def agree_on_base(cfg: DictConfig) -> None:
    """Agree on `paths.base`; where it is named after the clock, on one that no other run has, which
    may have started in the same second.
    """
    raw = cast(dict[str, str], OmegaConf.to_container(cfg.paths, resolve=False))
    is_used = str(cfg.paths.run).startswith(str(cfg.paths.base))
    if cfg.get("resume") or "${now:" not in raw["base"] or not is_used:
        agree_on(cfg, "paths.base")
        return

    def make() -> str:
        wanted = str(cfg.paths.base)
        taken, name = 1, wanted
        while True:
            try:
                Path(name).mkdir(parents=True)
                return name
            except FileExistsError:
                taken += 1
                name = f"{wanted}_{taken}"
            except OSError as error:
                raise ConfigError(f"paths.base={name} cannot be made: {error.strerror}") from error

    OmegaConf.update(cfg, "paths.base", from_first_process(cfg, f"{cfg.name} paths.base", make))


def agree_on(cfg: DictConfig, key: str) -> None:
    """Give a setting the same value in all processes of the run, whose clocks would name different
    folders.
    """
    value = from_first_process(cfg, f"{cfg.name} {key}", lambda: str(OmegaConf.select(cfg, key)))
    OmegaConf.update(cfg, key, value)


def in_its_folder(cfg: DictConfig) -> list[DictConfig]:
    """A config without stages; with `resume`, that is its folder."""
    if cfg.resume:
        OmegaConf.update(cfg, "paths.base", str(cfg.resume))
        OmegaConf.update(cfg, "paths.run", str(cfg.resume))
    return [cfg]


def _resumed(cfg: DictConfig) -> Run:
    folder = Path(cfg.resume)
    path = identity_files(folder)[0]
    identity = read_identity(path)

    def go_on() -> str:
        run_id = begun_run(cfg, identity.mlflow_run_id) or ""
        if run_id != (identity.mlflow_run_id or ""):
            write_identity(path, identity.model_copy(update={"mlflow_run_id": run_id}))
        return run_id

    OmegaConf.update(cfg, "paths.run", str(folder))

    def newest() -> str:
        found = newest_whole(folder / "checkpoints")
        if found is None and cfg.get("module"):  # of a training
            _LOG.warning("%s has no checkpoint yet: it goes on from the start", folder)
        return str(found or "")

    checkpoint = from_first_process(cfg, f"{cfg.name} checkpoint", newest)
    run_id = from_first_process(cfg, f"{cfg.name} run", go_on)
    return Run(
        folder,
        _logger(cfg, run_id),
        is_resumed=True,
        checkpoint=Path(checkpoint) if checkpoint else None,
        is_new_in_mlflow=run_id != (identity.mlflow_run_id or ""),
    )


def git_commit() -> str:
    """Commit of the checkout, with "+" when it has changes; "unknown" outside one."""
    git = ["git", "-C", str(Path(__file__).resolve().parent)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")
