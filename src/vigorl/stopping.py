"""SIGTERM, which SLURM sends before it kills, and SIGINT end a run as an exception does: what is
open is closed, MLflow says KILLED, and the last line tells how to go on.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """The process was asked to end; its exit code is 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


def take_signals() -> None:
    """From now on they raise `Stopped`; the second one ends the process at once."""
    for one in SIGNALS:
        signal.signal(one, _stop)


def _stop(number: int, _frame: Any) -> None:
    for one in SIGNALS:
        signal.signal(one, signal.SIG_DFL)
    raise Stopped(number)


@contextmanager
def stopped_by_signals(door: str, cfg: DictConfig) -> Iterator[None]:
    """Inside, they raise `Stopped`; on its way out a line says how to go on.

    Args:
        door: Of `python -m vigorl.DOOR`.
        cfg: Its settings; those of the run's folder are final once it has begun.
    """
    before = {one: signal.getsignal(one) for one in SIGNALS}
    take_signals()
    try:
        yield
    except Stopped as stopped:
        print(f"stopped by {stopped.name}: {how_to_go_on(door, cfg)}", file=sys.stderr)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def interruptible(door: str, cfg: DictConfig) -> Iterator[None]:
    """Inside a program's call, an interrupt closes what is open, where Lightning would end the
    process.

    Args:
        door: Of `vigorl.DOOR`.
        cfg: Its settings.
    Raises:
        KeyboardInterrupt: Says how to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    before = {one: signal.getsignal(one) for one in SIGNALS}
    take_signals()
    try:
        yield
    except Stopped as stopped:
        if stopped.name != "SIGINT":
            raise
        said = f"resume={str(folder_of(cfg))!r}"
        said = f'"{said}"' if door == "evaluate" else said  # it takes a setting
        raise KeyboardInterrupt(
            f"what was done is kept: vigorl.{door}(cfg, {said}) goes on"
        ) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def folder_of(cfg: DictConfig) -> Path | None:
    """Of the run that a door's settings are of; None where they are of none."""
    if "paths" not in cfg:
        return None
    place = cfg.paths.base if cfg.get("stages") else cfg.paths.run
    return Path(cfg.get("resume") or place)


def how_to_go_on(door: str, cfg: DictConfig) -> str:
    """What to do with a run that has ended too early."""
    folder = folder_of(cfg)
    if "resume" not in cfg or folder is None:
        return "begin it again"
    if not any(folder.glob("run.json")) and not any(folder.glob("*/run.json")):
        return "nothing was begun yet"
    return f"python -m vigorl.{door} 'resume=\"{folder}\"' goes on"
