"""From files of JSON to rows and back: lines, one list, or one object.

The records of a long file of lines are not kept: each is looked at once, for its faults, and read
again when it is asked for (`FileRecords`).

Nothing that a file holds ends in anything but a DataError with file and line: brackets without end,
numbers of thousands of digits or that are not finite, half an emoji.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from hashlib import blake2b, file_digest
from io import BufferedReader
from pathlib import Path
from sys import intern
from typing import Any, Generic, TypeVar, overload

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.data.faults import STRICT, Rules, settle
from vigorl.data.sources.rows import Row, root_of

Record = TypeVar("Record")

_LOG = logging.getLogger(__name__)
WHOLE_BYTES = 64 * 2**20  # of a file whose records are kept; they take up to five times that
_MAX_DIGITS = 4000  # Python's own limit for an integer is 4,300
# in a text without these no number and no character can be one that is refused
_ODD = re.compile(rf"NaN|Infinity|[eE]\+?\d{{3}}|\d{{{_MAX_DIGITS}}}|\\u[dD][89a-fA-F]")


class JsonLines:
    """The rows of a JSONL file, with one line at a time in memory; blank lines are skipped.

    Args:
        path: The file.
        image_root: Where its picture names start; the file's own folder when None.
    """

    def __init__(self, path: str | Path, *, image_root: str | Path | None = None) -> None:
        self.path, self.root = Path(path), root_of(path, image_root)
        self._starts = array("q")  # of each line, bytes
        self._mark = (0, 0)  # size and time of what was read
        self._digest = b""  # of it, once it was read to its end

    def __iter__(self) -> Iterator[Row | DataError]:
        """In place of a line that is no JSON object, its error.

        Raises:
            DataError: The file cannot be read.
        """
        self._starts, start, digest = array("q"), 0, blake2b()
        if self.path.exists():
            self._mark = _mark(os.stat(self.path))
        for number, line in _written_lines(self.path):
            self._starts.append(start)
            start += len(line)
            digest.update(line)
            try:
                found = self._row(line, number)
            except DataError as error:
                found = error
            if found is not None:
                yield found
        self._digest = digest.digest()

    @property
    def is_long(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size > WHOLE_BYTES

    def read(self, number: int) -> Row:
        """A line once more, by its number from 1; all were read before.

        Raises:
            DataError: The file does not hold what it held.
        """
        try:
            with open(self.path, "rb") as file:
                self._check(file)
                file.seek(self._starts[number - 1])
                row = self._row(file.readline(), number)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        assert row is not None  # it was none when the file was the same
        return row

    def _check(self, file: BufferedReader) -> None:
        """What was only touched, or copied to its place again, is read as a whole once more."""
        mark = _mark(os.fstat(file.fileno()))
        if mark == self._mark:
            return
        if mark[0] != self._mark[0] or file_digest(file, blake2b).digest() != self._digest:
            raise DataError("has changed since the run began: begin again", path=self.path)
        self._mark = mark

    def _row(self, line: bytes, number: int) -> Row | None:
        """None of a blank line."""
        text = _decode(line, path=self.path, line=number)
        if not text.strip():
            return None
        value = _parse(text, path=self.path, line=number)
        return _row(value, Row({}, self.path, number, root=self.root), is_odd=_is_odd(text))


def _mark(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


class FileRecords(Sequence[Record], Generic[Record]):
    """Records of a file of lines, each read from there whenever it is asked for.

    Args:
        lines: The file, read to its end once.
        make: What a row becomes.
    Attributes:
        names: [len] The id and the pictures of each, which are kept: who splits records or looks
            for one goes by them.
    """

    def __init__(self, lines: JsonLines, make: Callable[[Row], Record]) -> None:
        self._lines, self._make = lines, make
        self._numbers = array("I")  # of each record's line, from 1
        self.names: list[tuple[str, ...]] = []

    def note(self, number: int, record: Record) -> None:
        """The next record, which was read from that line."""
        self._numbers.append(number)
        self.names.append(tuple(map(intern, names_of(record))))  # a picture is in many records

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> FileRecords[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | FileRecords[Record]:
        if isinstance(index, slice):
            return self.at(range(len(self))[index])
        return self._make(self._lines.read(self._numbers[index]))

    def at(self, indices: Iterable[int]) -> FileRecords[Record]:
        """Some of them, in that order."""
        some = FileRecords(self._lines, self._make)
        for index in indices:
            some._numbers.append(self._numbers[index])
            some.names.append(self.names[index])
        return some


def names_of(record: object) -> tuple[str, ...]:
    """The id and the pictures of a task, a trace or a tree."""
    if isinstance(record, SearchTreeRecord):
        return record.id, record.image, *record.more_images
    task = record.task if isinstance(record, TraceRecord) else record
    return (task.id, *task.images) if isinstance(task, TaskRecord) else ("",)


def all_names(records: Sequence[object]) -> Iterable[tuple[str, ...]]:
    """`names_of` each, without reading what is not kept."""
    return records.names if isinstance(records, FileRecords) else map(names_of, records)


class ById(Mapping[str, Record]):
    """Records by their ids; of two with one id the later. What is not kept is read when asked."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._places = {name: place for place, (name, *_) in enumerate(all_names(records))}

    def __getitem__(self, key: str) -> Record:
        return self._records[self._places[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def chosen(records: Sequence[Record], indices: Iterable[int]) -> Sequence[Record]:
    """Some of the records, in that order; still unread where they were."""
    if isinstance(records, FileRecords):
        return records.at(indices)
    return [records[index] for index in indices]


def collect(
    rows: Iterable[Row | DataError], make: Callable[[Row], Record], *, rules: Rules = STRICT
) -> Sequence[Record]:
    """What `make` makes of each row, in their order, looked at and kept, or of a long file of lines
    only looked at (`FileRecords`); what the rows have noted is logged.

    Raises:
        DataError: Names every row that cannot be used; see `data.faults.settle`.
    """

    def made_of(row: Row) -> Record:
        anywhere, frames = rules.pictures_anywhere, rules.frames
        return make(replace(row, pictures_anywhere=anywhere, frames=frames))

    found: FileRecords[Record] | list[Record] = []
    if isinstance(rows, JsonLines) and rows.is_long:
        found = FileRecords(rows, made_of)
    faults: list[DataError] = []
    notes = Counter[tuple[Path, str]]()
    for row in rows:
        try:
            if isinstance(row, DataError):
                raise row
            made = made_of(row)
            if isinstance(found, list):
                found.append(made)
            else:
                found.note(row.line or 0, made)
            notes.update({(row.path.parent, note): n for note, n in row.notes.items()})
        except DataError as error:
            faults.append(error)
        except (ValueError, OverflowError, RecursionError) as error:  # of numbers and depths that
            assert isinstance(row, Row)  # no rule has thought of
            faults.append(DataError(f"cannot be read: {error}", path=row.path, line=row.line))
    settle(faults, num_rows=len(found) + len(faults), skip=rules.skip_bad_rows)
    for (folder, note), count in notes.items():
        _LOG.warning("%s: %d %s", folder, count, note)
    return found


def line_rows(path: str | Path, *, image_root: str | Path | None = None) -> JsonLines:
    """The rows of a JSONL file; see `JsonLines`."""
    return JsonLines(path, image_root=image_root)


def read_lines(path: str | Path, *, image_root: str | Path | None = None) -> Iterator[Row]:
    """The rows of a JSONL file, in place of one that is none its error.

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
        raise _unreadable(path, error) from error


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object per line; the folder is made."""
    _write(rows, {path: False})


def write_items(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON list, an object per line; the folder is made."""
    _write(rows, {path: True})


def write_rows(rows: Iterable[Mapping[str, Any]], *paths: Path) -> None:
    """The same rows to several files, each rendered once and none kept: one list where a name ends
    in .json, else lines.
    """
    _write(rows, {path: path.suffix == ".json" for path in paths})


def _write(rows: Iterable[Mapping[str, Any]], is_list: Mapping[Path, bool]) -> None:
    with ExitStack() as stack:
        files = []
        for path, wants_list in is_list.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(written_whole(path))
            file = stack.enter_context(open(part, "w", encoding="utf-8"))
            files.append((file, wants_list))
            file.write("[\n" if wants_list else "")
        for index, row in enumerate(rows):
            text = json.dumps(row, ensure_ascii=False)
            for file, wants_list in files:
                if wants_list:
                    file.write((",\n" if index else "") + text)
                else:
                    file.write(text + "\n")
        for file, wants_list in files:
            file.write("\n]\n" if wants_list else "")


def _written_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers from 1."""
    try:
        with open(path, "rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot be read ({error.strerror or error})", path=path)


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
