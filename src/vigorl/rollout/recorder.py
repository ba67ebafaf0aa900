"""One JSON line per rollout, from which it can be replayed.

    {"format": 2, "phase": "train/3", "run_seed": 0, "scored": {
        "rollout": {"task": {...}, "prompt_ids": [...], "turns": [...], "stop_reason": ..., ...},
        "reward": {"total": ..., "parts": {...}}, "advantage": ...}}

The keys are the fields of the dataclasses in `core`; crops are boxes, never pixels. The loss mask
is not stored: who wrote a token is in the turns. Seeds are not stored per turn: `build_dialogs`
makes them again from run seed, phase, task and index. Floats come back bit for bit.

A crash can leave a last line without its newline; the next recorder on the file cuts it off, and
the reader names it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from vigorl.core.errors import DataError
from vigorl.core.rollout import ScoredRollout
from vigorl.rollout.upgrade import upgrade_v1

FORMAT = 2


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


def rollout_to_json(scored: ScoredRollout, *, phase: str, run_seed: int) -> str:
    """One line, without the newline.

    Raises:
        ValueError: A number is not finite.
    """
    plain = {"format": FORMAT, **_to_plain(RecordedRollout(phase, run_seed, scored))}
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
        plain = json.loads(text)
        found = plain.pop("format", None) if isinstance(plain, dict) else None
        if found == 1:
            plain = upgrade_v1(plain)
        elif found != FORMAT:
            raise ValueError(f"not a rollout of format {FORMAT}")
        return _from_plain(RecordedRollout, plain, "line")
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a recorded rollout: {error}", path=path, line=line) from error


def read_rollouts(path: str | os.PathLike[str]) -> Iterator[RecordedRollout]:
    """Every rollout of a record, in order.

    Raises:
        DataError: Names file and line of the first bad line.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, start=1):
            yield rollout_from_json(text, path=path, line=number)


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
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        whole = end
        while whole:
            start = max(whole - 65536, 0)
            file.seek(start)
            newline = file.read(whole - start).rfind(b"\n")
            if newline >= 0:
                whole = start + newline + 1
                break
            whole = start
        if whole < end:
            file.truncate(whole)


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        if value and isinstance(value[0], int | float):  # the long ones: ids and logprobs
            return value
        return [_to_plain(item) for item in value]
    return value


@cache
def _fields(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _from_plain(kind: Any, value: Any, where: str) -> Any:
    """Rebuild a value of type `kind`; `where` is the path to it, for errors."""
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if len(options) > 1:  # dataclasses that differ in their fields
            options = [
                one for one in options if set(_fields(one)) == set(_expect(dict, value, where))
            ]
        if not options:
            raise ValueError(f"{where}: no kind of value has the fields {sorted(value)}")
        return _from_plain(options[0], value, where)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        items = _expect(list, value, where)
        if item in (int, float):  # the long ones: ids and logprobs
            return tuple(_number(item, one, where) for one in items)
        return tuple(_from_plain(item, one, f"{where}[{i}]") for i, one in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        item = typing.get_args(kind)[1]
        pairs = _expect(dict, value, where).items()
        return {key: _from_plain(item, one, f"{where}.{key}") for key, one in pairs}
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_plain(kind, value, where)
    if kind in (int, float):
        return _number(kind, value, where)
    text = _expect(str, value, where)
    return kind(text) if issubclass(kind, StrEnum) else text


def _dataclass_from_plain(kind: Any, value: Any, where: str) -> Any:
    fields = _fields(kind)
    plain = _expect(dict, value, where)
    if set(plain) != set(fields):
        missing, unknown = sorted(set(fields) - set(plain)), sorted(set(plain) - set(fields))
        raise ValueError(f"{where}: fields missing {missing}, unknown {unknown}")
    return kind(
        **{name: _from_plain(fields[name], one, f"{where}.{name}") for name, one in plain.items()}
    )


def _number(kind: type, value: Any, where: str) -> Any:
    # an int may stand where a float is declared (box corners), and stays one
    if type(value) is int or (kind is float and type(value) is float):
        return value
    raise ValueError(f"{where}: {value!r} is not {'an integer' if kind is int else 'a number'}")


def _expect(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
    return value
