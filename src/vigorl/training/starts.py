"""Starts that are made on this machine where they are missing: each is what an experiment of SFT
leaves, so it can be made, read and changed like any other run.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from vigorl.core.errors import ConfigError

_LOG = logging.getLogger(__name__)
_TELL_S = 5.0  # who waits longer for another run says so
_OF_RANKS = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE")


def make_start(*, experiment: str, folder: str, settings: Sequence[str] = ()) -> str:
    """The model of an experiment, made by `python -m vigorl.train` where the folder is missing.

    It runs in a process of its own, on the CPU's and the seed's numbers, and the folder appears
    once it is whole. Runs that begin together wait for the one that makes it, and
    say so.

    Args:
        experiment: Of configs/experiment.
        folder: Where its model goes.
        settings: Further words of that command line.
    Returns:
        `folder`.
    Raises:
        ConfigError: The run failed; says by which command, and how it ended.
    """
    if Path(folder).is_dir():
        return folder
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not Path(folder).is_dir():
            _make(experiment, folder, settings)
    return folder


def _locked(folder: str) -> AbstractContextManager[object]:
    lock = FileLock(f"{folder}.lock")
    try:
        return lock.acquire(timeout=_TELL_S)
    except Timeout:
        _LOG.warning(
            "another run makes the start %s, in %s.run; waiting until it lets go of %s",
            folder, folder, lock.lock_file,
        )  # fmt: skip
    return lock.acquire()


def _make(experiment: str, folder: str, settings: Sequence[str]) -> None:
    base = Path(f"{folder}.run")
    shutil.rmtree(base, ignore_errors=True)  # of a run that was cut off
    words = [f"experiment={experiment}", f"paths.base={base}", *settings]
    command = [sys.executable, "-m", "vigorl.train", *words]
    _LOG.warning("making the start %s: vigorl.train %s", folder, " ".join(words))
    env = {key: value for key, value in os.environ.items() if key not in _OF_RANKS}
    done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ConfigError(f"{folder} could not be made by {' '.join(command)}: {last:.300}")
    (base / "model").rename(folder)
