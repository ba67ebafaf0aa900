"""Sends what a journal holds, in order: from a thread of the run, a process beside it, a door."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from vigorl.core.errors import DataError
from vigorl.outbox.journal import Journal
from vigorl.outbox.operations import Operation

_LOG = logging.getLogger(__name__)
_REFUSALS = (400, 404, 409, 413, 422)
_NOT_THERE = (FileNotFoundError, NotADirectoryError)  # of what is to be sent: waiting is no help


def be_brief() -> None:
    """MLflow's own patience is minutes per call; whoever sends a journal has a patience of its
    own.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


class Sender:
    """Tells MLflow what a journal holds.

    Args:
        journal: What is to be told.
        client: Makes the client, where it is first needed: that may already ask the store.
        run_id: Of the run.
        on_away: Told once, in one line, when the store does not answer.
        on_back: Told when it does again.
    """

    def __init__(
        self,
        journal: Journal,
        client: Callable[[], MlflowClient],
        run_id: str,
        *,
        on_away: Callable[[str], None] = lambda why: None,
        on_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.journal, self._make_client, self._run_id = journal, client, run_id
        self._on_away, self._on_back = on_away, on_back
        self._client: MlflowClient | None = None
        self._unforeseen: set[type[Exception]] = set()
        self.is_away = False
        self.given_up = threading.Event()  # nothing further is sent
        journal.take_back()

    def send(self) -> bool:
        """Send all that waits; whether the store has answered to all of it. What MLflow refuses is
        named in a warning and left out; where anything else goes wrong, it is kept.
        """
        while True:
            try:
                for operation, offset in self.journal.pending():
                    if self.given_up.is_set() or not self._tell(operation):
                        return False
                    self.journal.mark(offset)
            except DataError as error:
                _LOG.warning("%s; it is left out", error)
                continue
            except OSError as error:  # of the journal, such as a full disk
                self._miss(error)
                return False
            return True

    def _tell(self, operation: Operation) -> bool:
        try:
            if self._client is None:
                self._client = self._make_client()
            operation.tell(self._client, self._run_id)
        except DataError as error:  # of a record: waiting is no help here either
            _LOG.warning("MLflow was not told %s: %s", operation.kind, error)
            return True
        except (MlflowException, OSError) as error:
            if isinstance(error, _NOT_THERE) or _is_refusal(error):
                _LOG.warning("MLflow was not told %s: %s", operation.kind, first_line(error))
                return True
            self._miss(error)
            return False
        except Exception as error:  # noqa: BLE001  # each store of artifacts has errors of its own
            self._keep(operation, error)
            return True
        if self.is_away:
            self.is_away = False
            self._on_back()
        return True

    def _miss(self, error: Exception) -> None:
        if not self.is_away:
            self.is_away = True
            self._on_away(first_line(error))

    def _keep(self, operation: Operation, error: Exception) -> None:
        self.journal.keep(operation)
        if type(error) not in self._unforeseen:
            self._unforeseen.add(type(error))
            _LOG.warning(
                "MLflow was not told %s: %s: %s; this and what fails like it is kept, and tried "
                "again at the end", operation.kind, type(error).__name__, first_line(error),
            )  # fmt: skip


class SendingThread:
    """A sender that runs beside the work: `wake` after each append, `close` at the end.

    Args:
        sender: What it runs.
        pause_s: Between two attempts while the store is away.
    """

    def __init__(self, sender: Sender, *, pause_s: float) -> None:
        self.sender, self._pause_s = sender, pause_s
        self._news, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="mlflow-outbox")
        self._thread.start()

    def wake(self) -> None:
        self._news.set()

    def close(self, *, wait_s: float, most_s: float = math.inf) -> bool:
        """Wait for what is left to send; whether all was sent.

        Args:
            wait_s: How long a store that is away is waited for.
            most_s: How long one that takes what it gets is waited for.
        """
        began = time.monotonic()
        self._closed.set()
        self._news.set()
        away_since: float | None = None
        while self._thread.is_alive():
            self._thread.join(0.05)
            now = time.monotonic()
            away_since = (away_since or now) if self.sender.is_away else None
            is_late = now - began >= most_s
            if is_late or (away_since is not None and now - away_since >= wait_s):
                self.sender.given_up.set()  # whoever goes on with the run sends the rest
                self._thread.join(1.0)
                return False
        return True

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._closed.is_set():
                self.sender.journal.take_back()
            while not self.sender.send():
                pause_s = min(self._pause_s, 0.2) if self._closed.is_set() else self._pause_s
                if self.sender.given_up.wait(pause_s):
                    return
            if self._closed.is_set() and not self._news.is_set():
                return


def _is_refusal(error: Exception) -> bool:
    """The store has understood, and says no; not that somebody has to log in, or to be slower."""
    return isinstance(error, MlflowException) and error.get_http_status_code() in _REFUSALS


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
