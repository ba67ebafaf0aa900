"""Whether two formulas are one value, asked in a process of its own.

Algebra on what a policy writes can take for ever or all memory, within one call of C code that no
signal reaches. The other process limits itself: where it is killed, the two are not equal, and the
next question starts another. CPU seconds are counted, not those of a busy machine's clock.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from vigorl.core.errors import ConfigError

_ROOT = str(Path(__file__).parents[3])  # where vigorl is imported from
Way = Literal["equal", "close", "rounded"]
_LONGEST = 2000  # characters of a formula


@lru_cache(maxsize=1)
def require_algebra() -> None:
    """Raises ConfigError where math-verify is not installed."""
    if find_spec("math_verify") is None:
        raise ConfigError("formulas are compared by math-verify: pip install math-verify")


@lru_cache(maxsize=65536)  # metrics, rewards and reports all ask the same
def are_equal(given: str, right: str, *, how: Way = "equal") -> bool:
    """Whether two formulas, in LaTeX or as plain text, have one value; False where that cannot be
    found out within 3 CPU seconds and 2 GiB.

    Args:
        given: A formula.
        right: Another.
        how: By "equal", math-verify's judgement; the kits' ways are "close", values less than 1e-6
            apart, and "rounded", equal to two decimals.
    Raises:
        ConfigError: math-verify is not installed.
    """
    require_algebra()
    if max(len(given), len(right)) > _LONGEST:
        return False
    return _PROCESS.ask(how, given, right)


class _Process:
    """The other process; made when first asked, and again after each that was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._owner = 0

    def ask(self, how: Way, given: str, right: str) -> bool:
        with self._lock:
            running = self._running
            if running is None or running.poll() is not None or self._owner != os.getpid():
                running = self._start()
            assert running.stdin is not None
            assert running.stdout is not None
            reply = ""
            with contextlib.suppress(BrokenPipeError):
                running.stdin.write(json.dumps([how, given, right]) + "\n")
                running.stdin.flush()
                reply = running.stdout.readline()
            if not reply:
                self.close()
            return reply.strip() == "true"

    def close(self) -> None:
        running, self._running = self._running, None
        if running is None or self._owner != os.getpid():  # a fork's parent closes its own
            return
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[str]:
        self.close()
        self._owner = os.getpid()
        paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._running = subprocess.Popen(
            [sys.executable, "-P", "-m", "vigorl.core.scoring.algebra_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        return self._running


_PROCESS = _Process()
atexit.register(_PROCESS.close)
