"""What becomes of a command whose output is cut, as by `| head`: it goes on, and says no more."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class _Pipe(io.TextIOWrapper):
    """Text to a pipe that may be closed at the other end; what comes after that goes nowhere."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._go_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._go_nowhere()

    def _go_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()  # what is left in the buffer


def let_pipes_close() -> None:
    """Outlive the readers of what this process prints; for processes with a command line."""
    sys.stdout, sys.stderr = _piped(sys.stdout), _piped(sys.stderr)


def _piped(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Pipe):
        return stream
    return _Pipe(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
