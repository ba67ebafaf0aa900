"""How far an evaluation is, and when it will end: one line that changes on a terminal; elsewhere (a
log file, CI) a line now and then.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from tqdm import tqdm

_EVERY_S = 30.0  # between two lines off a terminal


class AnswerProgress:
    """Call it with how many rollouts are there, and of how many.

    Args:
        name: Of the evaluation.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm[Any] | None = None
        self._started, self._first, self._last_line = 0.0, 0, 0.0

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                desc=self._name,
                total=total,
                initial=done,
                unit="answer",
                dynamic_ncols=True,
                disable=not sys.stderr.isatty(),
            )
            self._first, self._started = done, time.monotonic()
            self._last_line = self._started
            if done and self._bar.disable:
                print(f"{self._name}: {done} of {total} were answered before", flush=True)
            return
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and (now - self._last_line >= _EVERY_S):
            self._last_line = now
            left = (now - self._started) / (done - self._first) * (total - done)
            print(f"{self._name}: {done} of {total}, about {_duration(left)} left", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3.5 h".

    >>> _duration(40), _duration(700), _duration(12600)
    ('40 s', '12 min', '3.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
