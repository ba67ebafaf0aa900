"""Locks between the processes of a machine; who waits for one says so."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

_LOG = logging.getLogger(__name__)
TELL_S = 5.0  # who waits longer for another process says so


def locked(made: str | Path, *, told: str) -> AbstractContextManager[object]:
    """Held by one process at a time, and let go of when it dies.

    Args:
        made: What is made under it; MADE.lock is the lock, in a folder that exists.
        told: What another process is doing, for the log, once this one has waited for 5 s.
    """
    lock = FileLock(f"{made}.lock")
    try:
        return lock.acquire(timeout=TELL_S)
    except Timeout:
        _LOG.warning("%s; waiting until it lets go of %s", told, lock.lock_file)
    return lock.acquire()
