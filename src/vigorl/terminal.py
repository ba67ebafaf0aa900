"""What a terminal is like, for all that show something in one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console, RenderableType
from rich.live import Live


def screen() -> Console | None:
    """The terminal on standard output; None where that is a file, a pipe or a dumb one."""
    console = Console(file=sys.stdout, highlight=False)
    is_one = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return console if is_one else None


@contextmanager
def drawn(console: Console, what: RenderableType) -> Iterator[None]:
    """Inside, it stands at the bottom of the screen, drawn anew four times a second; what others
    print or log stands above.
    """
    outputs = (sys.stdout, sys.stderr)
    handlers = [
        cast("logging.StreamHandler[Any]", one)  # they would write into its midst
        for one in logging.getLogger().handlers
        if isinstance(one, logging.StreamHandler) and one.stream in outputs
    ]
    streams = [one.stream for one in handlers]
    has_errors_here = sys.stderr.isatty()
    with Live(what, console=console, transient=True, redirect_stderr=has_errors_here):
        for one, stream in zip(handlers, streams, strict=True):
            one.setStream(sys.stdout if stream is outputs[0] else sys.stderr)
        try:
            yield
        finally:
            for one, stream in zip(handlers, streams, strict=True):
                one.setStream(stream)


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3.5 h".

    >>> duration(40), duration(700), duration(12600)
    ('40 s', '12 min', '3.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
