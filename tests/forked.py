"""`python -m vigorl.train` as a fork of a process that has the libraries imported, in place of an
interpreter that imports them once more, which takes seconds. Nothing of vigorl is imported there:
the door does that, and is killed, ends and says what it says as it does for a user.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil

LIBRARIES = [
    "hydra.utils",
    "lightning.pytorch.loggers",
    "lightning.pytorch.strategies",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "peft",
    "pydantic",
    "rich.table",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
]


@cache
def _forks() -> ForkServerContext:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torch reads it, which is when it is imported
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


def _enter(
    module: str,
    words: list[str],
    folder: str,
    env: dict[str, str],
    out: Connection,
    err: Connection,
) -> None:
    """What the fork does."""
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(
        2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [str(Path(folder, one)) for one in env["PYTHONPATH"].split(":")]
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def run_forked(
    module: str, words: list[str], *, folder: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of `python -m MODULE`: it waits for the ends of all that write, a fork's
    own processes too.
    """
    pipes = [_forks().Pipe(duplex=False) for _ in range(2)]
    writers = [writer for _, writer in pipes]
    door = _forks().Process(target=_enter, args=(module, words, str(folder), dict(env), *writers))
    door.start()
    for writer in writers:
        writer.close()
    with ThreadPoolExecutor(2) as readers:
        said = [readers.submit(_all_of, reader) for reader, _ in pipes]
        door.join(timeout)
        if door.exitcode is None:
            for one in psutil.Process(door.pid).children(recursive=True):
                one.kill()  # else the readers would wait for it
            door.kill()
            raise subprocess.TimeoutExpired([module, *words], timeout)
        out, err = (one.result(timeout) for one in said)
    return subprocess.CompletedProcess([module, *words], door.exitcode, out, err)


def _all_of(pipe: Connection) -> str:
    with pipe, open(pipe.fileno(), "rb", closefd=False) as text:
        return text.read().decode(errors="replace")
