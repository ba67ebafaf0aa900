"""Pictures that stand in a table become files, since a task names its pictures by path.

Their bytes are written as they are, never decoded, under a name that their content gives, beside
the table:

    hr_bench_4k.tsv
    .vigorl_pictures/0f6c...e2.jpg       the first 32 hexadecimal digits of its sha256

So the same picture in 400 rows is one file, a second read of the table writes nothing, and two
processes may read it at once. The folder can be deleted at any time; it is made again.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole
from vigorl.data.sources.option_texts import parse_list
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import no_such_column, table_rows, user_cache

FOLDER = ".vigorl_pictures"
MAX_REFERENCE = 64  # characters; VLMEvalKit takes a shorter cell for the index of another row

_DIGITS = 32
_HEAD = 40  # bytes in which the kinds of pictures tell themselves apart
_KINDS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    (".jpg", lambda head: head.startswith(b"\xff\xd8\xff")),
    (".png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    (".webp", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    (".gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    (".bmp", lambda head: head.startswith(b"BM")),
    (".tif", lambda head: head.startswith((b"II*\0", b"MM\0*"))),
    (".avif", lambda head: head[4:8] == b"ftyp" and b"avi" in head[8:]),
    (".jp2", lambda head: head.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"))),
    (".ppm", lambda head: len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456"),
)  # what `data.images.FORMATS` decodes


class Pictures:
    """Turns cells into picture files; one per table that is read, since it remembers which row had
    which picture.

    Args:
        index: The column that other rows' cells refer to.
        cache: Where pictures go when the table's own folder takes none; the user's cache when None.
        is_beside: Whether they go beside the table where that takes them, and not to the cache.
    """

    def __init__(
        self,
        *,
        index: str = "index",
        cache: str | Path | None = None,
        is_beside: bool = True,
    ) -> None:
        self._index, self._is_beside = index, is_beside
        self._cache = user_cache() if cache is None else Path(cache)
        self._folders: dict[Path, Path] = {}
        self._seen: dict[tuple[Path, str, str], tuple[str, ...]] = {}
        self._read_ahead: set[tuple[Path, str]] = set()

    def files(self, row: Row, column: str) -> tuple[str, ...]:
        """The picture files of a cell, in order; none where it is empty.

        A cell is bytes; a PIL picture; {"bytes", "path"}; base64 text; the name of a file below
        `row.root` (a text with a dot); the index of another row, whose picture it is (another text
        of up to `MAX_REFERENCE` characters); or a list of these, which may be written as a text.

        Raises:
            DataError: It is none of these; or there is no such file or row.
        """
        if column not in row.values:
            row.fail(no_such_column([column], row.values))
        found = tuple(self._of_cell(row.values[column], row, column))
        self._remember(row, column, found)
        return found

    def write(self, data: bytes, row: Row) -> str:
        """The file of a picture's bytes.

        Raises:
            DataError: They are no picture's, by how they begin; or no folder takes them.
        """
        head = data[:_HEAD]
        ending = next((ending for ending, fits in _KINDS if fits(head)), None)
        if ending is None:
            row.fail(f"a picture of no known kind: {len(data)} bytes that begin {head[:12]!r}")
        name = f"{hashlib.sha256(data).hexdigest()[:_DIGITS]}{ending}"
        path = self._folder(row) / name
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                with written_whole(path) as part:
                    part.write_bytes(data)
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror or error})", path=path) from error
        return str(path)

    def _of_cell(self, cell: Any, row: Row, column: str) -> Iterator[str]:
        if cell is None or cell == "":
            return
        if isinstance(cell, bytes):
            yield self.write(cell, row)
        elif isinstance(cell, Image.Image):
            yield self.write(_as_png(cell), row)
        elif isinstance(cell, Mapping) and ("bytes" in cell or "path" in cell):
            held = cell.get("bytes") or cell.get("path")
            yield from self._of_cell(held, row, column)
        elif isinstance(cell, list | tuple):
            for one in cell:
                yield from self._of_cell(one, row, column)
        elif isinstance(cell, str):
            yield from self._of_text(cell.strip(), row, column)
        elif isinstance(cell, int) and not isinstance(cell, bool):
            yield from self._of_other(str(cell), row, column)
        else:
            row.fail(f"{column!r} holds no picture: {cell!r:.80}")

    def _of_text(self, text: str, row: Row, column: str) -> Iterator[str]:
        if text.startswith("["):
            yield from self._of_cell(_parsed_list(text, row, column), row, column)
        elif text.startswith("data:image/"):
            yield self.write(_decoded(text.partition(",")[2], row, column), row)
        elif "." in text[:4096]:  # no base64
            yield row.picture(text)
        elif len(text) <= MAX_REFERENCE:
            yield from self._of_other(text, row, column)
        else:
            yield self.write(_decoded(text, row, column), row)

    def _remember(self, row: Row, column: str, found: tuple[str, ...]) -> None:
        name = row.values.get(self._index)
        if name is not None and found:
            self._seen.setdefault((row.path, column, str(name)), found)

    def _of_other(self, name: str, row: Row, column: str) -> tuple[str, ...]:
        """The pictures of the row whose index is `name`."""
        key, table = (row.path, column, name), (row.path, column)
        if (
            key not in self._seen and table not in self._read_ahead
        ):  # or it was left out by a filter
            self._read_ahead.add(table)
            self._read_all(row.path, column, root=row.root)
        if key not in self._seen:
            row.fail(f"{column!r} points to the picture of row {name!r}, and there is no such row")
        return self._seen[key]

    def _read_all(self, table: Path, column: str, *, root: Path) -> None:
        """Remember the pictures of all rows of a table that hold some."""
        for row in table_rows(table, root=root):
            if isinstance(row, Row) and _holds_picture(cell := row.values.get(column)):
                self._remember(row, column, tuple(self._of_cell(cell, row, column)))

    def _folder(self, row: Row) -> Path:
        """Where the pictures of a table go: beside it, or into the cache."""
        if row.root not in self._folders:
            places = (row.root, self._cache) if self._is_beside else (self._cache,)
            made = picture_folder(*places)
            if made is None:
                row.fail(f"its pictures cannot be written to {row.root} nor to {self._cache}")
            self._folders[row.root] = made
        return self._folders[row.root]


def picture_folder(*bases: Path) -> Path | None:
    """Where pictures that are made go: a folder in the first place that takes one, made here; None
    when none does.
    """
    return next(filter(None, (_writable(base / FOLDER) for base in bases)), None)


def _parsed_list(text: str, row: Row, column: str) -> list[object]:
    try:
        return parse_list(text)
    except ValueError as error:
        row.fail(f"{column!r} begins as a list: {error}; {len(text)} characters")


def _decoded(text: str, row: Row, column: str) -> bytes:
    try:
        if any(mark in text for mark in "\n\r "):  # a third faster where there are none
            text = "".join(text.split())
        return binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, binascii.Error) as error:
        row.fail(
            f"{column!r} is no whole base64 text ({error}; {len(text)} characters that begin "
            f"{text[:24]!r})"
        )


def _as_png(image: Image.Image) -> bytes:
    """A picture as it stands, bit for bit; modes that PNG does not know as RGB."""
    buffer = io.BytesIO()
    kept = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else None
    (kept or image.convert("RGB")).save(buffer, "png")
    return buffer.getvalue()


def _holds_picture(cell: object) -> bool:
    return isinstance(cell, str) and len(cell) > MAX_REFERENCE


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
