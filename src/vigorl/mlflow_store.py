"""MLflow's store on this disk, and the run in it: made whole, found again, or one clear line."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock
from hydra.utils import instantiate
from lightning.pytorch.loggers import MLFlowLogger
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

from vigorl.core.errors import ConfigError

_LOG = logging.getLogger(__name__)
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]+@")
_SQLITE = "sqlite:///"
_TABLES = ("experiments", "runs", "metrics", "latest_metrics", "params", "tags", "alembic_version")


def without_passwords(value: Any) -> Any:
    """A text with the passwords of its URLs masked; all else as it is."""
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value


def begun_run(cfg: DictConfig, run_id: str | None = None) -> str | None:
    """The id of a new run in MLflow, or of the one that is gone on with, if it is still there.

    Args:
        cfg: Its `logger`.
        run_id: To go on with.
    Returns:
        Another id than `run_id` where MLflow has deleted that one; None with another logger.
    Raises:
        ConfigError: The store cannot be reached, made or read, or has deleted the experiment.
    """
    uri = str(cfg.logger.get("tracking_uri") or "")
    if uri.startswith(_SQLITE):
        make_store(Path(uri.removeprefix(_SQLITE)))
    with _in_one_line(cfg, uri):
        if run_id is not None and not _is_gone(uri, run_id):
            return run_id
        logger = instantiate(cfg.logger)
        found = logger.run_id if isinstance(logger, MLFlowLogger) else None
    if run_id is not None and found is not None:
        _LOG.warning("MLflow has no run %s any more; this one goes on as %s", run_id, found)
    return found


def make_store(path: Path) -> None:
    """Have a store at a path, whole or not at all: several processes may start at once, and each
    may be killed.

    Raises:
        ConfigError: It cannot be written, or is no store.
    """
    if set("?#%'") & set(str(path)):
        raise ConfigError(f"{path}: MLflow takes no folder with ?, #, % or '; set paths.root")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                _make(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be made ({error.strerror or error}): set paths.root or "
            "logger.tracking_uri"
        ) from error
    try:  # for writing too: what a kill has left half written is rolled back
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as store:
            for table in _TABLES:
                store.execute(f"select 1 from {table} limit 1").fetchone()
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} is no store of MLflow, or a damaged one ({error}): move it away, and a new "
            "one is made"
        ) from error


def _make(path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    for left in (part, part.with_name(f"{part.name}-journal")):  # by one that was killed
        left.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"{_SQLITE}{part}", str(path.parent / "mlartifacts"))
    store.engine.dispose()
    part.replace(path)


def _is_gone(uri: str, run_id: str) -> bool:
    try:
        run = MlflowClient(uri).get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return True
        raise
    return run.info.lifecycle_stage == "deleted"


@contextmanager
def _in_one_line(cfg: DictConfig, uri: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        name, where = cfg.logger.get("experiment_name"), without_passwords(uri)
        if error.error_code == "RESOURCE_ALREADY_EXISTS" or "deleted" in str(error):
            raise ConfigError(
                f"{where} has deleted the experiment {name}: restore it there, or set "
                "logger.experiment_name"
            ) from error
        first = without_passwords(str(error).splitlines()[0])
        raise ConfigError(f"logger.tracking_uri={where}: {first}") from error
