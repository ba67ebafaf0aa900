"""MLflow for long runs: its store may be away for a while, and no name is refused."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, MLFlowLogger
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from vigorl.core.errors import VigorlError

_LOG = logging.getLogger(__name__)
_MAX_NAME = 250  # MLflow's own limit
_NOT_AWAY = (  # of files: waiting changes nothing
    FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError,
)  # fmt: skip
_REFUSED = re.compile(r"[^a-zA-Z0-9_/. -]+")


def safe_name(name: str) -> str:
    """A name that MLflow takes; one that it would refuse keeps what it can of itself, with a mark
    by which it stays different from every other.

    >>> safe_name("reward/total"), safe_name("accuracy/地图 (large)")
    ('reward/total', 'accuracy/_ _large_-63bad6')
    """
    made = posixpath.normpath(_REFUSED.sub("_", name)).lstrip("./") or "_"
    if made == name and len(name) <= _MAX_NAME:
        return name
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{made[: _MAX_NAME - 7]}-{mark}"


def send(logger: Logger, call: Callable[[MlflowClient, str], object]) -> None:
    """Tell MLflow something about the run, now or as soon as its store is back.

    Args:
        logger: One of another kind is told nothing.
        call: Gets the client and the run's id.
    """
    if isinstance(logger, PatientMLFlowLogger):
        logger.do(lambda: call(logger.experiment, str(logger.run_id)))
    elif isinstance(logger, MLFlowLogger):
        call(logger.experiment, str(logger.run_id))


class PatientMLFlowLogger(MLFlowLogger):
    """Lightning's, which raises when its server is away. Here what the store does not take is kept
    in memory, in order, and sent when it is back, with the time of that moment.

    Args:
        give_up_s: Once the store has been away for so long the run ends; at its end it is waited
            for as long.
        pause_s: Between two attempts.
        settings: Of Lightning's.
    """

    def __init__(self, *, give_up_s: float = 900.0, pause_s: float = 20.0, **settings: Any) -> None:
        # MLflow's own patience blocks the training meanwhile, for minutes per call
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        super().__init__(**settings)
        self._give_up_s, self._pause_s = give_up_s, pause_s
        self._waiting: deque[Callable[[], object]] = deque()
        self._away_since: float | None = None
        self._next_try = 0.0

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        named = {safe_name(name): value for name, value in metrics.items()}
        self.do(lambda: MLFlowLogger.log_metrics(self, named, step))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        named = {safe_name(name): value for name, value in params.items()}
        self.do(lambda: MLFlowLogger.log_hyperparams(self, named, *args, **kwargs))

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Of a run that fails, nothing here may hide why."""
        if status == "success" and self._initialized:
            self.do(lambda: MLFlowLogger.finalize(self, status))
            while self._waiting:
                time.sleep(self._pause_s)
                self._send_all()
            return
        try:
            if self._run_id is not None:
                _ = self.experiment  # Lightning tells nothing of a run that has logged nothing
            self._next_try = 0.0
            self._send_all()
            super().finalize(status)
        except (MlflowException, VigorlError, OSError) as error:
            _LOG.warning("MLflow was not told that the run is %s: %s", status, _first_line(error))

    def do(self, call: Callable[[], object]) -> None:
        """Do it after all that waits.

        Raises:
            VigorlError: The store has been away for `give_up_s`.
        """
        self._waiting.append(call)
        self._send_all()

    def _send_all(self) -> None:
        if time.monotonic() < self._next_try:
            return
        while self._waiting:
            try:
                self._waiting[0]()
            except (MlflowException, OSError) as error:
                if not _is_away(error):
                    self._waiting.popleft()
                    raise
                self._note_away(error)
                return
            self._waiting.popleft()
        if self._away_since is not None:
            _LOG.warning("MLflow is back, and has got all that was kept for it")
        self._away_since, self._next_try = None, 0.0

    def _note_away(self, error: Exception) -> None:
        now = time.monotonic()
        self._next_try = now + self._pause_s
        if self._away_since is None:
            self._away_since = now
            _LOG.warning(
                "MLflow is away; the run goes on for up to logger.give_up_s=%g and keeps what it "
                "would log: %s", self._give_up_s, _first_line(error)
            )  # fmt: skip
        elif now - self._away_since >= self._give_up_s:
            num, self._away_since = len(self._waiting), None
            self._waiting.clear()
            raise VigorlError(
                f"MLflow has been away for logger.give_up_s={self._give_up_s:g}; {num} things were "
                "not logged, so the run ends; resume it, from its last checkpoint, when MLflow is "
                f"back: {_first_line(error)}"
            ) from error


def _is_away(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        return error.get_http_status_code() >= 500
    return not isinstance(error, _NOT_AWAY)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
