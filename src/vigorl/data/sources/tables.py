"""Rows of tables, one at a time: Parquet, TSV and CSV, JSON lines, one JSON list.

    for row in table_rows("ai2d/data", split="test"):
        ...                                     # a Row, or the DataError of a bad one

Pictures stay the bytes that the file holds: nothing is decoded here (`pictures.Pictures` turns
cells into picture files). Of the `datasets` library only the hub is used: its defaults keep
all that was read of a Parquet file until the end (5.2.0: 1.5 GB for a file of 1.4 GB), and its
TSV reader, like pandas', holds whole chunks of a file whose rows may have 100 MB, and reads the
option texts "None" and "NA" as missing.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException

from vigorl.core.errors import DataError
from vigorl.data.sources.files import item_rows, line_rows, opens_list
from vigorl.data.sources.rows import Row, root_of

PARQUET, TSV, CSV, JSONL, JSON = ".parquet", ".tsv", ".csv", ".jsonl", ".json"
FORMATS = (PARQUET, TSV, CSV, JSONL, JSON)

_BATCH_ROWS = 4  # of Parquet in memory at once; each may hold pictures of 30 MB
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def table_rows(
    path: str | Path | Sequence[str | Path],
    *,
    root: str | Path | None = None,
    split: str | None = None,
    config: str | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Row | DataError]:
    """The rows of a table in their order, a few of them in memory; of Parquet, a group as the file
    has them (100 rows in most files of the hub), which takes twice its size.

    A cell of TSV and CSV is a text, "" where there is nothing; one of Parquet is what the file
    holds: a picture is bytes, or {"bytes": ..., "path": ...}, or a list of these.

    Args:
        path: A file by its ending (`FORMATS`), several, a folder of Parquet, or the id of a data
            set on the Hugging Face hub, which is read over the network, each of its files kept in
            memory until its end.
        root: Where its picture names start; the file's own folder when None.
        split: Of a folder, the files whose name has this word ("test-00000-of-00001.parquet"); of
            a data set on the hub, its split ("test" when None).
        config: Of a folder, the folder in it; of a data set on the hub, its configuration.
        columns: What must be there, and all that is read of Parquet and TSV; all columns when None.
    Returns:
        In place of a row that cannot be read, its error.
    Raises:
        DataError: A file is missing, damaged, or without one of the columns; names it, and those
            that there are.
    """
    if isinstance(path, str) and not os.path.exists(path) and is_hub_id(path):
        yield from _hub_rows(path, root=root, split=split, config=config, columns=columns)
        return
    given = [path] if isinstance(path, str | Path) else path
    for one in given:
        for file in table_files(one, split=split, config=config):
            yield from _file_rows(file, root=root_of(file, root), columns=columns)


def table_files(
    path: str | Path, *, split: str | None = None, config: str | None = None
) -> list[Path]:
    """The file, or the Parquet files of a folder, sorted; see `table_rows`.

    Raises:
        DataError: There is none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    folder = path / config if config else path
    found = sorted(
        file
        for file in folder.rglob(f"*{PARQUET}")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    word = re.compile(rf"(?<![a-z0-9]){re.escape(split or '')}(?![a-z0-9])", re.I)
    kept = [file for file in found if split is None or word.search(file.stem)]
    if not kept:
        names = ", ".join(file.relative_to(path).as_posix() for file in found[:8]) or "none"
        of = f" of the split {split!r}" if split else ""
        raise DataError(f"no {PARQUET} file{of} in the folder; there: {names}", path=folder)
    return kept


def _file_rows(
    file: Path, *, root: Path, columns: Sequence[str] | None
) -> Iterator[Row | DataError]:
    kind = file.suffix.lower()
    if kind not in FORMATS:
        raise DataError(f"a table must end in one of {', '.join(FORMATS)}", path=file)
    if kind == PARQUET:
        return _parquet_rows(file, root=root, columns=columns)
    if kind in (TSV, CSV):
        return _separated_rows(file, root=root, columns=columns)
    is_list = kind == JSON and opens_list(file)
    rows = (item_rows if is_list else line_rows)(file, image_root=root)
    return (_with_columns(row, columns) for row in rows)


def _with_columns(row: Row | DataError, columns: Sequence[str] | None) -> Row | DataError:
    """A row of JSON, whose objects need not all have the same keys."""
    missing = [] if isinstance(row, DataError) else _missing(columns, row.values)
    return row if isinstance(row, DataError) or not missing else _no_column(row, missing)


def _parquet_rows(
    file: Path, *, root: Path, columns: Sequence[str] | None
) -> Iterator[Row | DataError]:
    place = Row({}, file, root=root)
    try:
        with pq.ParquetFile(file) as table:
            _require(columns, table.schema_arrow.names, file=file)
            yield from _numbered(_group_rows(table, columns), place)
    except (OSError, ArrowException) as error:
        raise DataError(
            f"is no whole Parquet file ({_line(error)}); get it again", path=file
        ) from error


def _group_rows(table: pq.ParquetFile, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Group by group of rows, since a read over all of them keeps those that it has left behind."""
    kept = None if columns is None else list(columns)
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(_BATCH_ROWS, row_groups=[group], columns=kept):
            yield from batch.to_pylist()


def _hub_rows(
    name: str,
    *,
    root: str | Path | None,
    split: str | None,
    config: str | None,
    columns: Sequence[str] | None,
) -> Iterator[Row]:
    from datasets import load_dataset  # takes two seconds to import

    split = split or "test"
    place = Row({}, Path(name), root=user_cache() if root is None else Path(root))
    try:
        table = load_dataset(name, config, split=split, streaming=True).decode(False)
        if columns is not None:
            _require(columns, table.column_names or (), file=name)
            table = table.select_columns(list(columns))
        yield from _numbered(table, place)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "is no file or folder here, and cannot be read from the Hugging Face hub "
            f"({type(error).__name__}: {_line(error)})",
            path=name,
        ) from error


def _numbered(table: Iterable[dict[str, Any]], place: Row) -> Iterator[Row]:
    """Rows without lines are counted from 1."""
    for number, values in enumerate(table, start=1):
        yield Row(values, place.path, name=f"row {number}", root=place.root)


def _separated_rows(
    file: Path, *, root: Path, columns: Sequence[str] | None
) -> Iterator[Row | DataError]:
    """Of TSV and CSV: quoted as a spreadsheet quotes, also over several lines."""
    csv.field_size_limit(sys.maxsize)
    separator = "\t" if file.suffix.lower() == TSV else ","
    try:
        with open(file, "rb") as opened:
            records = _records(_Lines(opened, file), separator)
            header = next(records, None)
            if header is None:
                raise DataError("is empty: there is no line of column names", path=file)
            if isinstance(header, DataError):
                raise header
            names = _plain_names(header[1], is_tsv=separator == "\t")
            _require(columns, names, file=file)
            kept = [i for i, name in enumerate(names) if columns is None or name in columns]
            for record in records:
                if isinstance(record, DataError):
                    yield record
                    continue
                line, cells = record
                place = Row({}, file, line, root=root)
                if len(cells) != len(names):
                    yield DataError(
                        f"has {len(cells)} cells where the header has {len(names)} columns"
                        " (a file cut short ends so: get it again)",
                        path=file,
                        line=line,
                    )
                    continue
                yield Row({names[i]: cells[i] for i in kept}, file, line, root=place.root)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=file) from error


@dataclass(slots=True)
class _Lines:
    """The lines of a file one by one, with the number of the last one.

    Attributes:
        lines: In bytes.
        file: For messages.
        number: 1-based; 0 before the first line.
        is_over: Whether more was asked for than there is.
    """

    lines: Iterable[bytes]
    file: Path
    number: int = 0
    is_over: bool = False
    _left: Iterator[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._left = iter(self.lines)

    def __iter__(self) -> Iterator[str]:
        """As texts, for the csv module."""
        while (line := self.next()) is not None:
            yield line.decode()
        self.is_over = True

    def next(self) -> bytes | None:
        line = next(self._left, None)
        if line is not None:
            self.number += 1
            if self.number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
        return line


def _records(lines: _Lines, separator: str) -> Iterator[tuple[int, list[str]] | DataError]:
    """The cells of each row with its first line; blank lines are skipped.

    A row where no cell begins with a quote is cut at its separators, which needs a quarter of the
    memory of the csv module (that keeps four bytes per character) and holds no surprise.
    """
    cut = separator.encode()
    while (line := lines.next()) is not None:
        first, found = lines.number, None
        cells = line.rstrip(b"\r\n").split(cut)
        try:
            if not any(cell.startswith(b'"') for cell in cells):
                found = [cell.decode() for cell in cells] if cells != [b""] else None
            else:
                reader = csv.reader(chain([line.decode()], lines), delimiter=separator)
                found = next(reader)
                if lines.is_over:
                    yield DataError(
                        "a quote that opens here is not closed before the end of the file "
                        "(a file cut short ends so: get it again)",
                        path=lines.file,
                        line=first,
                    )
                    return
        except UnicodeDecodeError as error:
            yield DataError(f"is not UTF-8 text ({error.reason})", path=lines.file, line=first)
        except csv.Error as error:
            yield DataError(f"is not a row of a table: {error}", path=lines.file, line=first)
        if found is not None:
            yield first, found


def _plain_names(names: Sequence[str], *, is_tsv: bool) -> list[str]:
    """VLMEvalKit's copy of a large table ("*_local.tsv") has files in place of base64 texts."""
    is_copy = is_tsv and "image_path" in names and "image" not in names
    return ["image" if is_copy and name == "image_path" else name for name in names]


def user_cache() -> Path:
    """Where files go that have no folder of the user's to stand in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vigorl"


def is_hub_id(path: str) -> bool:
    """Whether a path reads as OWNER/NAME of a data set on the hub."""
    return _HUB_ID.fullmatch(path) is not None and Path(path).suffix.lower() not in FORMATS


def _missing(columns: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    there = set(names)
    return [column for column in columns or () if column not in there]


def no_such_column(missing: Sequence[str], names: Iterable[str], *, what: str = "column") -> str:
    """That columns are not there; with the nearest that are, and all."""
    known = list(names)
    near = [get_close_matches(one, known, n=1, cutoff=0.6) for one in missing]
    meant = ", ".join(repr(found[0]) for found in near if found)
    guess = f"; did you mean {meant}?" if meant else ";"
    text = f"there is no {what} {', '.join(map(repr, missing))}{guess}"
    return f"{text} {what}s: {', '.join(known)}"


def _require(columns: Sequence[str] | None, names: Sequence[str], *, file: str | Path) -> None:
    if missing := _missing(columns, names):
        raise DataError(no_such_column(missing, names), path=file)


def _no_column(row: Row, missing: Sequence[str]) -> DataError:
    text = no_such_column(missing, row.values, what="key")
    return DataError(f"{row.name}: {text}" if row.name else text, path=row.path, line=row.line)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
