"""A run's folder and its MLflow run: begun, or gone on with.

RUN/config.yaml     the resolved settings
RUN/run.json        which MLflow run it is, and what its command lines said
RUN/checkpoints/    phase-00010.ckpt ...
RUN/rollouts/       pages and JSONL records
RUN/model/          the trained model, a Hugging Face folder; with early_stop, until the end,
                    RUN/model.best-00003/ of the best phase so far
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, MLFlowLogger
from omegaconf import DictConfig, OmegaConf

from vigorl.callbacks.checkpoint import list_checkpoints
from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.processes import from_first_process, is_first_process
from vigorl.training.datamodule import GroundedTraceDataModule

RUN_FORMAT = 2  # of run.json and the checkpoints beside it
PACKAGES = ("vigorl", "torch", "transformers", "lightning", "mlflow")
_FREE = ("resume", "paths", "num_threads")  # a resumed run may stand and compute elsewhere
_ABSENT = "(absent)"


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run writes, what it logs to, and what it goes on from.

    Attributes:
        folder: Folder of all its files.
        logger: Lightning's.
        is_resumed: Rather than begun.
        checkpoint: To go on from, or None at a fresh start.
    """

    folder: Path
    logger: Logger
    is_resumed: bool = False
    checkpoint: Path | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """A run that raised says so in MLflow, wherever it raised."""
        self.logger.finalize("failed" if kind else "success")

    def record(self, cfg: DictConfig, datamodule: Any) -> None:
        """Settings, versions, commit and what data it is fed; of a resumed run, what changed."""
        if not is_first_process():
            return
        path = self.folder / "config.yaml"
        if self.is_resumed and path.exists():
            self._record_changes(cfg)
            return
        path.write_text(OmegaConf.to_yaml(cfg, resolve=True))
        flat = flatten(OmegaConf.to_container(cfg, resolve=True))
        flat |= {f"version.{name}": version(name) for name in PACKAGES}
        if isinstance(datamodule, GroundedTraceDataModule):
            datamodule.prepare_data()
            datamodule.setup()
            flat |= datamodule.fingerprints()
        self.logger.log_hyperparams(flat)
        self._tag({"git.commit": git_commit()})

    def _record_changes(self, cfg: DictConfig) -> None:
        """A further resume goes on with what this command line said; MLflow's parameters stay."""
        if said := _said(cfg):
            for path in _identity_files(Path(cfg.paths.base)):
                _write_identity(path, json.loads(path.read_text()) | {"overrides": said})
        config = self.folder / "config.yaml"
        if changed := changed_settings(OmegaConf.load(config), cfg):
            config.write_text(OmegaConf.to_yaml(cfg, resolve=True))
            at = self.checkpoint.stem if self.checkpoint else "the start"
            self._tag({f"changed.{k}": f"{a} -> {b} at {at}" for k, (a, b) in changed.items()})

    def _tag(self, tags: Mapping[str, str]) -> None:
        if isinstance(self.logger, MLFlowLogger):
            client, run_id = self.logger.experiment, self.logger.run_id
            assert run_id is not None
            for name, text in tags.items():
                client.set_tag(run_id, name, text)
            client.log_artifact(run_id, str(self.folder / "config.yaml"))


def start_run(cfg: DictConfig) -> Run:
    """A new run in `paths.run`, or the one in `resume`.

    Raises:
        ConfigError: `resume` names a folder that is not a run.
    """
    if cfg.get("resume"):
        return _resumed(cfg)
    agree_on(cfg, "paths.run")
    folder = Path(cfg.paths.run)
    folder.mkdir(parents=True, exist_ok=True)

    def begin() -> str:  # by one process: MLflow's store does not bear being made twice at once
        logger = instantiate(cfg.logger)
        run_id = logger.run_id if isinstance(logger, MLFlowLogger) else ""
        _write_identity(
            folder / "run.json",
            {"format": RUN_FORMAT, "mlflow_run_id": run_id or None, "overrides": _said(cfg)},
        )
        return run_id or ""

    return Run(folder, _logger(cfg, from_first_process(cfg, f"{cfg.name} run", begin)))


def _logger(cfg: DictConfig, run_id: str | None) -> Logger:
    return instantiate(cfg.logger, **({"run_id": run_id} if run_id else {}))


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


def resumed_settings(
    cfg: DictConfig, stages_of: Callable[[DictConfig], Sequence[DictConfig]]
) -> DictConfig:
    """The settings of the run in `resume`: what its command lines said, then what this one says.

    Args:
        cfg: As composed from this command line alone.
        stages_of: The stages that a config leaves to do; the config itself where it has none.
    Raises:
        ConfigError: `resume` names a folder that is not a run, or its YAMLs have changed since.
    """
    folder, said = Path(cfg.resume), _command_line()
    before = _overrides(folder)
    door = HydraConfig.get().job.config_name
    resumed = _composed(door, _merged(before, said), folder)
    if is_first_process():
        unchanged = _composed(door, before, folder)
        for old, new in zip(stages_of(unchanged), stages_of(resumed), strict=False):
            _refuse_drift(Path(new.paths.run) / "config.yaml", old, new, said)
    return resumed


def _composed(door: str | None, overrides: Sequence[str], folder: Path) -> DictConfig:
    """With `resume`, which is put in as it is: a folder's name may hold "=", "," and brackets."""
    cfg = compose(door, list(overrides))
    OmegaConf.update(cfg, "resume", str(folder))
    return cfg


def changed_settings(old: Any, new: DictConfig) -> dict[str, tuple[Any, Any]]:
    """{key: (old value, new value)} of what may change a run's numbers, and what is not named after
    the clock.
    """
    new = copy.deepcopy(new)
    OmegaConf.set_struct(new, False)
    new.paths = old.paths  # many values hold a folder's name
    raw = flatten(OmegaConf.to_container(new, resolve=False))
    clock = [key for key, value in raw.items() if "${now:" in str(value)]
    clock += [k for k, v in raw.items() if any(f"${{{key}}}" in str(v) for key in clock)]
    before, after = (flatten(OmegaConf.to_container(one, resolve=True)) for one in (old, new))
    pairs = {k: (before.get(k, _ABSENT), after.get(k, _ABSENT)) for k in sorted(before | after)}
    return {
        key: (a, b)
        for key, (a, b) in pairs.items()
        if a != b and key not in clock and key.partition(".")[0] not in _FREE
    }


def _refuse_drift(path: Path, old: DictConfig, new: DictConfig, said: Sequence[str]) -> None:
    """Differences to what the run used are taken only from this command line."""
    if not path.exists():
        return
    named = [_key(override).lstrip("+~") for override in said]
    taken = changed_settings(old, new)
    drifted = [
        f"  {key}: {a} -> {b}"
        for key, (a, b) in changed_settings(OmegaConf.load(path), new).items()
        if key not in taken and not any(f"{key}.".startswith(f"{one}.") for one in named)
    ]
    if drifted:
        lines = [
            f"{path} holds other settings than the run's command line gives today:",
            *drifted,
            "undo that change, or say on this command line which values shall be taken",
        ]
        raise ConfigError("\n".join(lines))


def _command_line() -> list[str]:
    """Its overrides, as they were said; none outside a door."""
    if not HydraConfig.initialized():
        return []
    said = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(override) for override in cast(list[Any], said)]


def _said(cfg: DictConfig) -> list[str]:
    """What all command lines of the run said, this one last."""
    now = _command_line()
    is_resumed = any(_key(override) == "resume" for override in now)
    return _merged(_overrides(Path(cfg.paths.base)), now) if is_resumed else now


def _merged(before: Sequence[str], now: Sequence[str]) -> list[str]:
    last = {_key(override): override for override in (*before, *now)}
    return [override for key, override in last.items() if key != "resume"]


def _key(override: str) -> str:
    return override.partition("=")[0]


def _identity_files(folder: Path) -> list[Path]:
    """The run.json of the run in a folder, or of its stages.

    Raises:
        ConfigError: There is none.
    """
    if (folder / "run.json").is_file():
        return [folder / "run.json"]
    if not (found := sorted(folder.glob("*/run.json"))):
        raise ConfigError(f"resume={str(folder)!r} is not a run's folder: it has no run.json")
    return found


def _write_identity(path: Path, identity: Mapping[str, Any]) -> None:
    with written_whole(path) as part:  # another process of a resumed run may be reading it
        part.write_text(json.dumps(identity))


def _overrides(folder: Path) -> list[str]:
    path = _identity_files(folder)[0]
    identity = json.loads(path.read_text())
    if identity.get("format") != RUN_FORMAT:
        raise ConfigError(
            f"{path}: a run of vigorl 0.1, whose settings and checkpoints are others; begin anew "
            f"from its model, model.path={path.parent / 'model'}"
        )
    return identity["overrides"]


def _resumed(cfg: DictConfig) -> Run:
    folder = Path(cfg.resume)
    run_id = json.loads(_identity_files(folder)[0].read_text())["mlflow_run_id"]
    OmegaConf.update(cfg, "paths.run", str(folder))
    found = list_checkpoints(folder / "checkpoints")
    return Run(
        folder, _logger(cfg, run_id), is_resumed=True, checkpoint=found[-1] if found else None
    )


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b": value}."""
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


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
