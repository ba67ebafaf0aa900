"""How far an evaluation is, and when it will end: one line that changes on a terminal; elsewhere (a
log file, CI) a line now and then.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table

from vigorl.core.run_log import RUN_LOG
from vigorl.terminal import drawn, duration, screen

_EVERY_S = 30.0  # between two lines off a terminal


class AnswerProgress:
    """Call it with how many rollouts are there, and of how many.

    Args:
        name: Of the evaluation.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._screen = screen()
        self._drawing = ExitStack()
        self._started, self._first, self._last_line = 0.0, -1, 0.0
        self._done, self._total = 0, 1

    def __call__(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        now = time.monotonic()
        if self._first < 0:
            self._first, self._started, self._last_line = done, now, now
            if self._screen is not None:
                self._drawing.enter_context(drawn(self._screen, self))
            if done:
                self._say(f"{self._name}: {done} of {total} were answered before")
        elif now - self._last_line >= _EVERY_S:
            self._last_line = now
            self._say(f"{self._name}: {done} of {total}, about {duration(self._left_s())} left")

    def _left_s(self) -> float:
        spent, answered = time.monotonic() - self._started, self._done - self._first
        return spent / answered * (self._total - self._done)

    def _say(self, line: str) -> None:
        RUN_LOG.info(line)
        if self._screen is None:
            print(line, flush=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right", style="green")
        end = f"about {duration(self._left_s())} left" if self._done > self._first else ""
        count = f"{self._done} of {self._total} answers"
        bar = ProgressBar(total=max(self._total, 1), completed=self._done)
        grid.add_row(self._name, bar, count, end)
        yield grid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.close()
