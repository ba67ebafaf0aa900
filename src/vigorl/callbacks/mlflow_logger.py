"""MLflow for long runs: whatever becomes of its store, the run goes on, nothing is lost, and no
name is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, MLFlowLogger
from mlflow.tracking import MlflowClient

from vigorl.outbox.journal import OUTBOX, TRACES, Journal
from vigorl.outbox.operations import EndRun, LogMetrics, LogParams, Operation
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.outbox.sender import Sender, SendingThread, be_brief
from vigorl.outbox.system_metrics import SystemMetrics

_LOG = logging.getLogger(__name__)
_MAX_NAME = 250  # MLflow's own limit
_MOST_S_AFTER_FAILURE = 10.0  # of sending: SLURM kills 30 s after it has said so
_MOST_S_STILL = 120.0  # beyond `wait_s`, of a follower that sends nothing
_REFUSED = re.compile(r"[^a-zA-Z0-9_/. -]+")
_ENDED = {"success": "FINISHED", "failed": "FAILED"}
FIRST = {
    "val/accuracy": "1_overview/1_val_accuracy",
    "reward/total": "1_overview/2_reward",
    "rollout/accuracy": "1_overview/3_train_accuracy",
    "rollout/zoom_hit_frac": "1_overview/4_zoom_hit_frac",
    "train/entropy": "1_overview/5_entropy",
    "train/loss": "1_overview/6_loss",
    "val/nll": "1_overview/1_val_nll",
    "eval/accuracy": "1_overview/1_accuracy",
}
"""The numbers that decide a run, and their names in MLflow, whose charts go by the alphabet."""


def safe_name(name: str) -> str:
    """A name that MLflow takes; one that it would refuse keeps what it can of itself, with a mark
    by which it stays different from every other.

    >>> safe_name("reward/advantage"), safe_name("accuracy/地图 (large)")
    ('reward/advantage', 'accuracy/_ _large_-63bad6')
    """
    made = posixpath.normpath(_REFUSED.sub("_", name)).lstrip("./") or "_"
    if made == name and len(name) <= _MAX_NAME:
        return name
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{made[: _MAX_NAME - 7]}-{mark}"


def shown_name(name: str) -> str:
    """A metric's name in MLflow.

    >>> shown_name("val/accuracy"), shown_name("val/turns_mean")
    ('1_overview/1_val_accuracy', 'val/turns_mean')
    """
    return FIRST.get(name) or safe_name(name)


def plain_name(shown: str) -> str:
    """The metric behind a name in MLflow.

    >>> plain_name("1_overview/1_val_accuracy")
    'val/accuracy'
    """
    return next((name for name, first in FIRST.items() if first == shown), shown)


def now_ms() -> int:
    return round(time.time() * 1000)


def send(logger: Logger, operation: Operation) -> None:
    """Tell MLflow something about the run, now or as soon as its store is back.

    Args:
        logger: One of another kind is told nothing.
        operation: What to tell.
    """
    if isinstance(logger, PatientMLFlowLogger):
        logger.put(operation)
    elif isinstance(logger, MLFlowLogger):
        operation.tell(logger.experiment, str(logger.run_id))


class PatientMLFlowLogger(MLFlowLogger):
    """Lightning's, which waits for the store and raises when that is away. Here all that is logged
    is written down in the run's folder first, and sent by a thread: in order, with the time at
    which it happened. What the store does not take within `wait_s` of the run's end stays there,
    and `python -m vigorl.mlflow_sync RUN`, or a resume, sends it.

    Args:
        folder: Of the run.
        wait_s: At the run's end, how long a store that is away is waited for.
        pause_s: Between two attempts.
        system_every_s: Between two samples of the machine's load; None takes none.
        settings: Of Lightning's.
    """

    def __init__(
        self,
        *,
        folder: str,
        wait_s: float = 60.0,
        pause_s: float = 20.0,
        system_every_s: float | None = None,
        **settings: Any,
    ) -> None:
        be_brief()
        super().__init__(**settings)
        self.folder = Path(folder)
        self._wait_s, self._pause_s, self._system_every_s = wait_s, pause_s, system_every_s
        self._outbox, self._traces = Journal(self.folder / OUTBOX), Journal(self.folder / TRACES)
        self._thread: SendingThread | None = None
        self._follower: subprocess.Popen[bytes] | None = None
        self._system: SystemMetrics | None = None
        self._ended = ""

    @property
    def run_id(self) -> str | None:
        """Without asking the store for one that is known."""
        return self._run_id or super().run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        named = {shown_name(name): float(value) for name, value in metrics.items()}
        self.put(LogMetrics(named, step or 0, now_ms()))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.put(LogParams({safe_name(name): str(value) for name, value in params.items()}))

    @rank_zero_only
    def put(self, operation: Operation) -> None:
        """Write it down, to be sent after all that waits."""
        self._ended = ""
        if isinstance(operation, RecordedTraces):
            self._traces.append(operation)
            self._follow()
            return
        self._outbox.append(operation)
        if self._thread is None:
            self._thread = SendingThread(self._sender(), pause_s=self._pause_s)
            has_more = not isinstance(operation, EndRun)  # of a run refused before anything else
            if self._system_every_s is not None and has_more:
                self._system = SystemMetrics(every_s=self._system_every_s, log=self.log_metrics)
        self._thread.wake()

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Of a run that fails, nothing here may hide why."""
        status = _ENDED.get(status, status)
        if self._run_id is None or status == self._ended:
            return  # never begun, or told before
        if self._system is not None:
            self._system.stop()
            self._system = None
        self.put(EndRun(status, now_ms()))
        self._ended = status
        assert self._thread is not None
        is_whole = status == "FINISHED"  # else somebody may be about to kill the process
        wait_s = self._wait_s if is_whole else min(self._wait_s, 5.0)
        most_s = math.inf if is_whole else _MOST_S_AFTER_FAILURE
        is_told = self._thread.close(wait_s=wait_s, most_s=most_s)
        self._thread = None
        is_told = self._end_following(wait_s) and is_told
        if is_told and self._outbox.remove_if_told() and self._traces.remove_if_told():
            return
        _LOG.warning(
            "MLflow has not got %d of the last things about this run: python -m vigorl.mlflow_sync "
            "%s sends them", self._outbox.num_pending + self._traces.num_pending, self.folder
        )  # fmt: skip

    def _sender(self) -> Sender:
        run_id, uri = str(self.run_id), self._tracking_uri
        return Sender(
            self._outbox,
            lambda: MlflowClient(uri),
            run_id,
            on_away=lambda why: _LOG.warning(
                "MLflow is away; the run goes on, and what it logs is kept in %s: %s",
                self._outbox.path, why,
            ),
            on_back=lambda: _LOG.warning("MLflow is back, and gets what was kept for it"),
        )  # fmt: skip

    def _follow(self) -> None:
        """Start the process that sends traces, where it is not there."""
        if self._follower is not None:
            return
        said = [str(self.folder), str(self.run_id)]
        patience = [f"--wait-s={self._wait_s}", f"--pause-s={self._pause_s}"]
        with open(self._follower_log, "ab") as log:
            self._follower = subprocess.Popen(
                [sys.executable, "-m", "vigorl.outbox.follow", *said, *patience],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_TRACKING_URI": str(self._tracking_uri)},
                start_new_session=True,  # a Ctrl-C is for the run, which then ends it
            )

    def _end_following(self, wait_s: float) -> bool:
        """Whether it has sent all."""
        follower, self._follower = self._follower, None
        if follower is None:
            return True
        assert follower.stdin is not None
        follower.stdin.close()
        has_failed = self._ended != "FINISHED"
        most_s = wait_s if has_failed else wait_s + _MOST_S_STILL
        began, sent = time.monotonic(), self._traces.offset
        while follower.poll() is None and time.monotonic() - began < most_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                follower.wait(min(most_s, 1.0))
            if not has_failed and self._traces.offset != sent:
                began, sent = time.monotonic(), self._traces.offset
        if follower.poll() is None:
            follower.kill()
        if follower.wait() == 0:
            self._follower_log.unlink(missing_ok=True)
            return True
        return False

    @property
    def _follower_log(self) -> Path:
        return self.folder / "mlflow_traces.log"
