"""A run's folder and its MLflow run: begun, or gone on with.

RUN/config.yaml     the resolved settings
RUN/run.json        which MLflow run it is, and what its command line said
RUN/checkpoints/    phase-00010.ckpt ...
RUN/rollouts/       pages and JSONL records
RUN/model/          the trained model, a Hugging Face folder
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, MLFlowLogger
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from vigorl.callbacks.checkpoint import list_checkpoints
from vigorl.core.errors import ConfigError
from vigorl.training.datamodule import GroundedTraceDataModule

PACKAGES = ("vigorl", "torch", "transformers", "lightning", "mlflow")
_FOLDER = "VIGORL_RUN_FOLDER"  # inherited by the processes that Lightning starts


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run writes, what it logs to, and what it goes on from.

    Attributes:
        folder: Of all its files.
        logger: Lightning's.
        checkpoint: To go on from, or None at a fresh start.
    """

    folder: Path
    logger: Logger
    checkpoint: Path | None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """A run that raised says so in MLflow, wherever it raised."""
        self.logger.finalize("failed" if kind else "success")

    def record(self, cfg: DictConfig, datamodule: Any) -> None:
        """Settings, versions, commit and what data it is fed; once per run."""
        if not _is_first_process() or (self.folder / "config.yaml").exists():
            return
        (self.folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        flat = flatten(OmegaConf.to_container(cfg, resolve=True))
        flat |= {f"version.{name}": version(name) for name in PACKAGES}
        if isinstance(datamodule, GroundedTraceDataModule):
            datamodule.prepare_data()
            datamodule.setup()
            flat |= datamodule.fingerprints()
        self.logger.log_hyperparams(flat)
        if isinstance(self.logger, MLFlowLogger):
            client, run_id = self.logger.experiment, self.logger.run_id
            assert run_id is not None
            client.set_tag(run_id, "git.commit", git_commit())
            client.log_artifact(run_id, str(self.folder / "config.yaml"))


def start_run(cfg: DictConfig) -> Run:
    """A new run in `paths.run`, or the one in `resume`.

    Raises:
        ConfigError: `resume` names a folder that is not a run.
    """
    if cfg.get("resume"):
        return _resumed(cfg)
    _agree_on_folder(cfg)
    folder = Path(cfg.paths.run)
    folder.mkdir(parents=True, exist_ok=True)
    logger = instantiate(cfg.logger)
    if _is_first_process():
        run_id = logger.run_id if isinstance(logger, MLFlowLogger) else None
        identity = {"mlflow_run_id": run_id, "overrides": _command_line()}
        (folder / "run.json").write_text(json.dumps(identity))
    return Run(folder, logger, None)


def resumed_settings(cfg: DictConfig) -> DictConfig:
    """The settings of the run in `resume`: what its command line said, then what this one says.

    Raises:
        ConfigError: `resume` names a folder that is not a run.
    """
    said = [*_identity(Path(cfg.resume))["overrides"], *_command_line()]
    last = {override.partition("=")[0]: override for override in said}
    return compose(HydraConfig.get().job.config_name, list(last.values()))


def _command_line() -> list[str]:
    """Its overrides; none outside a door."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _identity(folder: Path) -> dict[str, Any]:
    """What run.json says: of the run in a folder, or of its first stage."""
    found = sorted([folder / "run.json", *folder.glob("*/run.json")], key=lambda p: len(p.parts))
    for path in found:
        if path.is_file():
            return json.loads(path.read_text())
    raise ConfigError(f"resume={str(folder)!r} is not a run's folder: it has no run.json")


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0  # Lightning sets it when it is imported


def _agree_on_folder(cfg: DictConfig) -> None:
    """The clock that names a run's folder has moved on when Lightning starts other processes."""
    if _is_first_process():
        os.environ[_FOLDER] = str(cfg.paths.run)
    elif _FOLDER in os.environ:
        OmegaConf.update(cfg, "paths.run", os.environ[_FOLDER])


def _resumed(cfg: DictConfig) -> Run:
    folder = Path(cfg.resume)
    run_id = _identity(folder)["mlflow_run_id"]
    OmegaConf.update(cfg, "paths.run", str(folder))
    logger = instantiate(cfg.logger, **({"run_id": run_id} if run_id else {}))
    found = list_checkpoints(folder / "checkpoints")
    return Run(folder, logger, found[-1] if found else None)


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b": value}."""
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def git_commit() -> str:
    """Of the checkout, with "+" when it has changes; "unknown" outside one."""
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
