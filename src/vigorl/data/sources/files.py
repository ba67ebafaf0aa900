"""From files of JSON to rows and back: lines, one list, or one object.

Nothing that a file holds ends in anything but a DataError with file and line: brackets without end,
numbers of thousands of digits or that are not finite, half an emoji.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from vigorl.core.errors import DataError
from vigorl.data.faults import STRICT, Rules, settle
from vigorl.data.sources.rows import Row, root_of

Record = TypeVar("Record")

_LOG = logging.getLogger(__name__)
_MAX_DIGITS = 4000  # Python's own limit for an integer is 4,300
# in a text without these no number and no character can be one that is refused
_ODD = re.compile(rf"NaN|Infinity|[eE]\+?\d{{3}}|\d{{{_MAX_DIGITS}}}|\\u[dD][89a-fA-F]")


def collect(
    rows: Iterable[Row | DataError], make: Callable[[Row], Record], *, rules: Rules = STRICT
) -> list[Record]:
    """What `make` makes of each row, in their order; what the rows have noted is logged.

    Raises:
        DataError: Names every row that cannot be used; see `data.faults.settle`.
    """
    made: list[Record] = []
    faults: list[DataError] = []
    notes = Counter[tuple[Path, str]]()
    for row in rows:
        try:
            if isinstance(row, DataError):
                raise row
            anywhere, frames = rules.pictures_anywhere, rules.frames
            made.append(make(replace(row, pictures_anywhere=anywhere, frames=frames)))
            notes.update({(row.path.parent, note): n for note, n in row.notes.items()})
        except DataError as error:
            faults.append(error)
        except (ValueError, OverflowError, RecursionError) as error:  # of numbers and depths that
            assert isinstance(row, Row)  # no rule has thought of
            faults.append(DataError(f"cannot be read: {error}", path=row.path, line=row.line))
    settle(faults, num_rows=len(made) + len(faults), skip=rules.skip_bad_rows)
    for (folder, note), count in notes.items():
        _LOG.warning("%s: %d %s", folder, count, note)
    return made


def line_rows(
    path: str | Path, *, image_root: str | Path | None = None
) -> Iterator[Row | DataError]:
    """The rows of a JSONL file, with one line at a time in memory; blank lines are skipped.

    Args:
        path: The file.
        image_root: Where its picture names start; the file's own folder when None.
    Returns:
        In place of a line that is no JSON object, its error.
    Raises:
        DataError: The file cannot be read.
    """
    path, root = Path(path), root_of(path, image_root)
    for number, line in _written_lines(path):
        try:
            text = _decode(line, path=path, line=number)
            if not text.strip():
                continue
            value = _parse(text, path=path, line=number)
            found = _row(value, Row({}, path, number, root=root), is_odd=_is_odd(text))
        except DataError as error:
            found = error
        yield found


def read_lines(path: str | Path, *, image_root: str | Path | None = None) -> Iterator[Row]:
    """The rows of a JSONL file; as `line_rows`.

    Raises:
        DataError: The file cannot be read; or a line is no JSON object, when it is reached.
    """
    for row in line_rows(path, image_root=image_root):
        if isinstance(row, DataError):
            raise row
        yield row


def opens_list(path: Path) -> bool:
    """Whether the first character of a file opens a JSON list: then it is no JSONL."""
    lines = (line.removeprefix(b"\xef\xbb\xbf").strip() for _, line in _written_lines(path))
    return next(filter(None, lines), b"").startswith(b"[")


def item_rows(path: str | Path, *, image_root: str | Path | None = None) -> list[Row | DataError]:
    """The rows of a file that is one JSON list of objects; as `line_rows`.

    Raises:
        DataError: The file is missing, not UTF-8, or not a list.
    """
    path, root = Path(path), root_of(path, image_root)
    text = read_text(path)
    value, is_odd = _parse(text, path=path), _is_odd(text)
    if not isinstance(value, list):
        raise DataError("the file must be one JSON list", path=path)
    rows: list[Row | DataError] = []
    for number, item in enumerate(value, start=1):
        try:
            rows.append(_row(item, Row({}, path, name=f"item {number}", root=root), is_odd=is_odd))
        except DataError as error:
            rows.append(error)
    return rows


def object_rows(paths: Iterable[Path]) -> Iterator[Row | DataError]:
    """The row of each file, which is one JSON object."""
    for path in paths:
        try:
            text = read_text(path)
            found = _row(_parse(text, path=path), Row({}, path), is_odd=_is_odd(text))
        except DataError as error:
            found = error
        yield found


def read_text(path: Path) -> str:
    """A UTF-8 file, with or without a byte order mark."""
    try:
        return _decode(path.read_bytes(), path=path)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=path) from error


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object per line; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def write_items(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON list, an object per line; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    items = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{items}\n]\n", encoding="utf-8")


def _written_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers from 1."""
    try:
        with open(path, "rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=path) from error


def _decode(data: bytes, *, path: Path, line: int | None = None) -> str:
    """UTF-8 text; a byte order mark is dropped from the start of a file."""
    try:
        return data.decode("utf-8-sig" if line in (None, 1) else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 text ({error.reason} at byte {error.start})", path=path, line=line
        ) from error


def _is_odd(text: str) -> bool:
    return _ODD.search(text) is not None


def _parse(text: str, *, path: Path, line: int | None = None) -> Any:
    try:
        return json.loads(text, parse_int=_bounded_int if _is_odd(text) else None)
    except json.JSONDecodeError as error:
        at = line if line is not None else error.lineno
        raise DataError(
            f"is not JSON: {error.msg} at character {error.pos}", path=path, line=at
        ) from error
    except RecursionError as error:
        raise DataError("is JSON in too many brackets", path=path, line=line) from error


def _bounded_int(digits: str) -> float:
    """Too long an integer is no finite number, for its row to refuse."""
    return int(digits) if len(digits) < _MAX_DIGITS else math.inf


def _row(value: Any, place: Row, *, is_odd: bool) -> Row:
    if not isinstance(value, dict):
        place.fail(f"must be a JSON object, got {value!r:.60}")
    if is_odd:
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            place.fail(f"holds {half!r}, half of a character (such as of an emoji cut in two)")
        except (ValueError, RecursionError):
            place.fail("holds a number that is not finite, or too large")
    return replace(place, values=value)
