"""Whether what a run reads and writes beside its model can be had: settings, data, MLflow. Nothing
is made here.
"""

from __future__ import annotations

import copy
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import build_parts, check_settings
from vigorl.core.errors import ConfigError, DataError
from vigorl.data.dry_pass import dry_pass
from vigorl.data.splits import DataSplits
from vigorl.diagnosis.engine import ask
from vigorl.diagnosis.machine import existing_parent
from vigorl.diagnosis.report import Row, Status
from vigorl.resolvers import shipped

_MADE = "vigorl.data.scenes.world.MadeWorld"
_ONLY_READ = ("image_root", "photographs")  # no source's `prepare` looks for them


def check_config(cfg: DictConfig) -> list[Row]:
    """What a door would refuse before it starts: values that are missing, precision, batches that
    do not divide over the ranks.
    """
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        return [Row(Status.FAIL, "settings", f"set {key}=...") for key in sorted(missing)]
    try:
        check_settings(cfg)
        source = cfg.get("datamodule") or {}
        batching = source.get("plan") or source.get("traces") or source.get("pairs")
        if batching:
            instantiate(batching).accumulate(cfg.trainer.devices * cfg.trainer.num_nodes)
    except ConfigError as error:
        return [Row(Status.FAIL, "settings", str(error))]
    return [Row(Status.OK, "settings", "complete; batches divide over the ranks")]


def check_data(cfg: DictConfig) -> list[Row]:
    """The files that `data` names are there; a made world may yet have to be drawn."""
    if missing := [key for key in OmegaConf.missing_keys(cfg) if key.startswith("data.")]:
        return [Row(Status.FAIL, "data", f"no path yet: set {', '.join(sorted(missing))}")]
    for key in _ONLY_READ:
        if (path := cfg.data.get(key)) and not Path(path).is_dir():
            return [Row(Status.FAIL, "data", f"data.{key}={path} is not a folder")]
    if cfg.data._target_ == _MADE:
        text = "is there" if Path(cfg.data.root).is_dir() else "will be drawn at the start"
        text += "; its questions are not asked here, but by the run before its first phase"
        return [Row(Status.OK, "data", f"made world, {cfg.data.root} {text}")]
    try:
        source = instantiate(cfg.data)
        source.prepare()  # of sources that make nothing it only looks
        if cfg.get("datamodule"):
            needed = "train_tasks" if cfg.datamodule.plan else "traces"
            if needed in cfg.data and not cfg.data[needed]:
                text = f"this experiment learns from data.{needed}: set it"
                return [Row(Status.FAIL, "data", text)]
        return _dry_pass(cfg, source.load())
    except (ConfigError, DataError) as error:
        return [Row(Status.FAIL, "data", str(error))]


def _dry_pass(cfg: DictConfig, splits: DataSplits) -> list[Row]:
    """Every row as it will be asked, every picture decoded."""
    folder = start_of(cfg)
    asks = build_parts(spoken_by(folder, cfg)).eval_environment if folder.is_dir() else None
    rules, counts = replace(splits.rules, decode_pictures=True), list[str]()
    for name, records in splits.records.items():
        if records:
            kept = dry_pass(records, asks, rules=rules)
            counts.append(f"{len(kept)} {name}")
    text = f"{', '.join(counts)}; every picture can be decoded"
    if asks is None:
        why = f"prompts and sizes of pictures were NOT tried: {folder} is no folder that is there"
        return [Row(Status.OK, "data", text), Row(Status.NOTE, "prompts", why)]
    made = f", as {folder.name} would read it: the model is made later" * bool(cfg.model.maker)
    return [Row(Status.OK, "data", f"{text}, every prompt encoded{made}")]


def start_of(cfg: DictConfig) -> Path:
    """The folder of the model that reads the questions, if it is there."""
    return Path(cfg.paths.start if cfg.model.get("maker") else shipped(cfg.model.path))


def spoken_by(folder: Path, cfg: DictConfig) -> DictConfig:
    """The settings with a model that is there: one that is made later has the chat tokens and the
    sizes of the start that ships.
    """
    if not cfg.model.get("maker") and Path(shipped(cfg.model.path)) == folder:
        return cfg
    there = copy.deepcopy(cfg)
    there.model.path, there.model.maker = str(folder), None
    return there


def check_tracking(cfg: DictConfig) -> list[Row]:
    """MLflow's store can be written, or its server answers."""
    uri = cfg.logger.get("tracking_uri")
    if not uri:
        return [Row(Status.NOTE, "MLflow", "not used: the logger has no tracking_uri")]
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        if problem := ask(uri.rstrip("/") + "/health"):
            text = f"{uri} does not answer ({problem}): start it, or unset MLFLOW_TRACKING_URI"
            return [Row(Status.FAIL, "MLflow", text)]
        return [Row(Status.OK, "MLflow", f"{uri} answers")]
    if scheme == "sqlite":
        return [_check_sqlite(uri)]
    if scheme in ("", "file"):
        return [_check_writable(Path(urlsplit(uri).path), uri)]
    return [Row(Status.WARN, "MLflow", f"{uri}: only http, sqlite and file stores are looked at")]


def _check_sqlite(uri: str) -> Row:
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.is_file():
        return _check_writable(path, uri)
    if not os.access(path, os.W_OK):
        return Row(Status.FAIL, "MLflow", f"{path} cannot be written")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as store:
            (count,) = store.execute("select count(*) from experiments").fetchone()
    except sqlite3.Error as error:
        return Row(Status.FAIL, "MLflow", f"{path} is not a store of MLflow ({error}): move it")
    return Row(Status.OK, "MLflow", f"{uri}: {count} experiments")


def _check_writable(path: Path, uri: str) -> Row:
    parent = existing_parent(path)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Row(Status.OK, "MLflow", f"{uri}: {'is there' if path.exists() else 'will be made'}")
    return Row(Status.FAIL, "MLflow", f"{uri}: {parent} cannot be written; set paths.outputs")
