"""A file of what is still to be told: appended to by the run, read by whoever sends it.

    RUN/mlflow_outbox.jsonl        one operation a line
    RUN/mlflow_outbox.jsonl.sent   how many of its bytes MLflow has
    RUN/mlflow_outbox.jsonl.kept   what failed for a reason of its own: sent at the end

What is killed between the two is told again, which changes nothing: metrics carry the time at which
they were logged, traces an id of their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole
from vigorl.data.plain import faults
from vigorl.outbox.operations import (
    LogArtifact,
    LogModel,
    LogTable,
    Operation,
    operation_from_json,
    operation_to_json,
)
from vigorl.outbox.rollout_traces import RecordedTraces

_HERE = "./"  # begins what lies in the folder of the journal, which may be moved before it is sent
OUTBOX, TRACES = "mlflow_outbox.jsonl", "mlflow_traces.jsonl"


class Journal:
    """Operations in order, and how many were told.

    Args:
        path: The file; made when there is something to tell.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._sent_path = path, path.with_name(f"{path.name}.sent")
        self._kept_path = path.with_name(f"{path.name}.kept")

    def append(self, operation: Operation) -> None:
        """Write one down, whole; a line that a crash has cut off is ended first."""
        _append(self.path, self._line(operation))

    def keep(self, operation: Operation) -> None:
        """Put one aside, so that what follows is told."""
        _append(self._kept_path, self._line(operation))

    def take_back(self) -> None:
        """Put what was kept behind all that waits."""
        if self._kept_path.is_file():  # killed before it is removed, it is told twice
            _append(self.path, self._kept_path.read_bytes())
            self._kept_path.unlink()

    def _line(self, operation: Operation) -> bytes:
        return operation_to_json(_within(operation, self.path.parent)).encode() + b"\n"

    def pending(self) -> Iterator[tuple[Operation, int]]:
        """What is not told yet, each with the offset at which the next one starts.

        Raises:
            DataError: A line is not an operation; names it. It is passed over when asked again.
        """
        if not self.path.is_file():
            return
        offset = self.offset
        with open(self.path, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                offset += len(line)
                if not line.strip():
                    continue
                try:
                    operation = operation_from_json(line)
                except ValueError as error:
                    self.mark(offset)
                    what = faults(error) if isinstance(error, ValidationError) else str(error)
                    raise DataError(
                        f"not something to tell MLflow: {what}", path=self.path
                    ) from error
                yield _below(operation, self.path.parent), offset

    @property
    def offset(self) -> int:
        """Bytes that were told; 0 where the number is of a longer file, which is gone."""
        try:
            told = int(self._sent_path.read_text())
            return told if told <= self.path.stat().st_size else 0
        except (FileNotFoundError, ValueError):
            return 0

    @property
    def num_pending(self) -> int:
        """Lines that are not told yet, those that are kept among them."""
        return _num_lines(self.path, self.offset) + _num_lines(self._kept_path, 0)

    def mark(self, offset: int) -> None:
        """Note that all before an offset was told."""
        with written_whole(self._sent_path) as part:
            part.write_text(str(offset))

    def remove_if_told(self) -> bool:
        """Remove both files if nothing is left to tell; nobody may be appending meanwhile."""
        if self.num_pending:
            return False
        for path in (self._sent_path, self.path):  # killed in between, all is told again
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return True


def _append(path: Path, lines: bytes) -> None:
    with open(path, "a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                lines = b"\n" + lines
        file.write(lines)


def _num_lines(path: Path, offset: int) -> int:
    if not path.is_file():
        return 0
    with open(path, "rb") as file:
        file.seek(offset)
        return sum(bool(line.strip()) for line in file)


def _within(operation: Operation, folder: Path) -> Operation:
    """With the file that it names as it is called from a folder that holds it."""
    path = _file_of(operation)
    if path is None or not Path(path).is_relative_to(folder):
        return operation
    return _with_file(operation, f"{_HERE}{Path(path).relative_to(folder).as_posix()}")


def _below(operation: Operation, folder: Path) -> Operation:
    """The inverse, wherever the folder is now."""
    path = _file_of(operation)
    if path is None or not path.startswith(_HERE):
        return operation
    return _with_file(operation, str(folder / path))


def _file_of(operation: Operation) -> str | None:
    match operation:
        case LogArtifact() | LogTable():
            return operation.path
        case LogModel():
            return operation.folder
        case RecordedTraces():
            return operation.record
        case _:
            return None


def _with_file(operation: Operation, path: str) -> Operation:
    match operation:
        case LogArtifact() | LogTable():
            return dataclasses.replace(operation, path=path)
        case LogModel():
            return dataclasses.replace(operation, folder=path)
        case RecordedTraces():
            return dataclasses.replace(operation, record=path)
        case _:
            return operation
