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
from pathlib import Path

from vigorl.core.errors import ConfigError
from vigorl.data.locks import locked

_LOG = logging.getLogger(__name__)
_OF_RANKS = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE")


def make_start(*, experiment: str, folder: str, settings: Sequence[str] = ()) -> str:
    """The model of an experiment, made by `python -m vigorl.train` where the folder is missing.

    It runs in a process of its own, on the CPU's and the seed's numbers, and the folder appears
    once it is whole. Runs that begin together wait for the one that makes it, and say so.

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
    told = f"another run makes the start {folder}, in {folder}.run"
    with locked(folder, told=told):
        if not Path(folder).is_dir():
            _make(experiment, folder, settings)
    return folder


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
