"""One JSON line per rollout, from which it can be replayed.

    {"format": 5, "phase": "train/3", "run_seed": 0, "scored": {
        "rollout": {"task": {...}, "prompt_ids": [...], "turns": [...], "stop_reason": ..., ...},
        "reward": {"total": ..., "parts": {...}, "weights": {...}, ...}, "advantage": ...}}

The keys are the fields of the dataclasses in `core`, as `data.plain` writes them; crops are boxes,
never pixels. The loss mask is not stored: who wrote a token is in the turns. Seeds are not stored
per turn: `build_dialogs` makes them again from run seed, phase, task and index. Floats come back
bit for bit.

A crash can leave a last line without its newline; the next recorder on the file cuts it off, and
the reader names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from vigorl.core.errors import DataError
from vigorl.core.rollout import ScoredRollout
from vigorl.data.plain import exact_reader, faults, to_plain
from vigorl.rollout.upgrade import upgrade_v1, upgrade_v2, upgrade_v3, upgrade_v4

FORMAT = 5
_TASK_ID = '"task":{"id":'


@dataclass(frozen=True, slots=True)
class RecordedRollout:
    """One line of the record.

    Attributes:
        phase: The phase's name, such as "train/3".
        run_seed: Of the run that made it.
        scored: The rollout, its reward and its advantage.
    """

    phase: str
    run_seed: int
    scored: ScoredRollout


@dataclass(frozen=True, slots=True)
class _Line(RecordedRollout):
    format: Literal[5]

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # scorers


_READER = exact_reader(TypeAdapter(_Line))


def rollout_to_json(scored: ScoredRollout, *, phase: str, run_seed: int) -> str:
    """One line, without the newline.

    Raises:
        ValueError: A number is not finite.
    """
    plain = {"format": FORMAT, **to_plain(RecordedRollout(phase, run_seed, scored))}
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))


def rollout_from_json(
    text: str, *, path: object = None, line: int | None = None
) -> RecordedRollout:
    """The inverse of `rollout_to_json`.

    Args:
        text: One line.
        path: Where it stands, for the error message.
        line: 1-based.
    Raises:
        DataError: Not JSON, of another format, or a field is missing, unknown or of the wrong type.
    """
    try:
        read = _read_line(text)
    except ValidationError as error:
        message = f"not a recorded rollout: {faults(error)}"
        raise DataError(message, path=path, line=line) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a recorded rollout: {error}", path=path, line=line) from error
    return RecordedRollout(read.phase, read.run_seed, read.scored)


def _read_line(text: str) -> _Line:
    try:
        return _READER.validate_json(text)
    except ValidationError:  # which half a character is too, that a policy may write
        plain = json.loads(text)
        found = plain.pop("format", None) if isinstance(plain, dict) else None
    if found not in (1, 2, 3, 4, FORMAT):
        raise ValueError(f"not a rollout of format {FORMAT}")
    for upgrade in (upgrade_v1, upgrade_v2, upgrade_v3, upgrade_v4)[found - 1 :]:
        plain = upgrade(plain)
    return _READER.validate_python({**plain, "format": FORMAT})


def read_rollouts(
    path: str | os.PathLike[str], *, only: Collection[str] | None = None
) -> Iterator[RecordedRollout]:
    """Every rollout of a record, in order.

    Args:
        path: The file.
        only: Ids of the tasks whose rollouts are read; lines of others are passed over unread.
    Raises:
        DataError: Names file and line of the first bad line.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, start=1):
            if only is None or _task_id(text) in (None, *only):
                found = rollout_from_json(text, path=path, line=number)
                if only is None or found.scored.rollout.task.id in only:
                    yield found


def _task_id(text: str) -> str | None:
    """The task of a line that `rollout_to_json` has written; None of any other line."""
    start = text.find(_TASK_ID)
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(text, start + len(_TASK_ID))[0]
    except ValueError:
        return None


class RolloutRecorder:
    """Appends rollouts to a JSONL file, a whole line or nothing; one process per file.

    Args:
        path: Created with its folders; an existing record is continued, without the torn line of a
            crash.
        run_seed: Of the run, stored in every line.
    """

    def __init__(self, path: str | os.PathLike[str], *, run_seed: int) -> None:
        self.path, self._run_seed = Path(path), run_seed
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            cut_torn_line(self.path)
        self._file = open(self.path, "ab")  # noqa: SIM115 - stays open until close

    def write(self, scored: ScoredRollout, *, phase: str) -> None:
        line = rollout_to_json(scored, phase=phase, run_seed=self._run_seed) + "\n"
        self._file.write(line.encode("ascii"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RolloutRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cut_torn_line(path: Path) -> None:
    """Drop what stands after a file's last newline: a line that a crash has cut off."""
    if not path.stat().st_size:
        return  # of nothing there is no map
    with open(path, "r+b") as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
        file.truncate(whole)
