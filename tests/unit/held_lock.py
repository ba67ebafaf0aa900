"""Who waits for a lock that another process holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from vigorl.data import locks


def said_while_held(
    made: Path,
    wait: Callable[[], object],
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[str]:
    """What the log says of `wait`, which must wait while MADE.lock is held, and end after that.

    Args:
        made: See `locks.locked`.
        wait: Takes the lock.
        caplog: Of the test.
        monkeypatch: Of the test.
        meanwhile: Done by who holds the lock, once the other has said that it waits.
    """
    monkeypatch.setattr(locks, "TELL_S", 0.01)
    lock = FileLock(f"{made}.lock")
    lock.acquire()
    waits = threading.Thread(target=wait)
    waits.start()
    deadline = time.monotonic() + 20
    while not caplog.messages and time.monotonic() < deadline:
        time.sleep(0.01)
    assert waits.is_alive()
    meanwhile()
    lock.release()
    waits.join(20)
    assert not waits.is_alive()
    return caplog.messages
