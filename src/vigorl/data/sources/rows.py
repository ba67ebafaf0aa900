"""What the readers share: one row of a file that knows where it stands, and reads its fields with a
named fault.

Boxes come in two spellings, never guessed: "xywh" (V*Bench, ScreenSpot-v2) and "xyxy"
(ScreenSpot-Pro, the released web data).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeGuard

from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Size
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.images import read_size

BoxForm = Literal["xywh", "xyxy"]


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a data file.

    Attributes:
        values: The object.
        path: The file.
        line: 1-based line; None in a file that is one JSON value.
        name: What to call the row where there is no line, such as "item 3".
        root: Where picture names start.
    """

    values: Mapping[str, Any]
    path: Path
    line: int | None = None
    name: str = ""
    root: Path = Path()

    @property
    def source(self) -> str:
        """ "file:line", or "file (item 3)"."""
        if self.line is not None:
            return f"{self.path}:{self.line}"
        return f"{self.path} ({self.name})" if self.name else str(self.path)

    def fail(self, message: str) -> NoReturn:
        """Raise the row's DataError."""
        text = f"{self.name}: {message}" if self.name else message
        raise DataError(text, path=self.path, line=self.line)

    def text(self, key: str, *, default: str | None = None) -> str:
        """The text under `key`; without a default it must be there."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            self._expected(key, "a text")
        return value

    def texts(self, key: str, *, is_required: bool = True) -> tuple[str, ...]:
        """The list of texts under `key`; a missing one is empty unless required."""
        value = self.values.get(key, None if is_required else [])
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self._expected(key, "a list of texts")
        return tuple(value)

    def number(self, key: str) -> float:
        """The finite number under `key`."""
        value = self.values.get(key)
        if not _is_number(value):
            self._expected(key, "a number")
        return value

    def flag(self, key: str) -> bool | None:
        """The true or false under `key`; None when it is missing or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self._expected(key, "true, false or missing")
        return value

    def objects(self, key: str, *, is_required: bool = True) -> list[Mapping[str, Any]]:
        """The list of objects under `key`; a missing or null one is empty unless required."""
        value = self.values.get(key)
        if value is None and not is_required:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
            self._expected(key, "a list of objects")
        return value

    def size(self, key: str) -> Size | None:
        """The [width, height] in pixels under `key`; None when it is null or missing."""
        value = self.values.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(type(n) is int and n > 0 for n in value)
        ):
            self.fail(f'"{key}" must be [width, height] in pixels or null, got {value!r:.80}')
        return Size(*value)

    def options(self, answer: str) -> tuple[str, ...]:
        """The texts under "options", the right answer among them; a missing list is empty."""
        options = self.texts("options", is_required=False)
        if options and answer not in options:
            self.fail(f"the answer {answer!r} is not among the options {list(options)}")
        return options

    def identity(self, *, is_required: bool = False) -> str:
        """The row's "id" as text (released files have numbers and texts); unless it is required, a
        missing one is file and line.
        """
        place = f"{self.path.stem}:{self.line or self.name.removeprefix('item ')}"
        value = self.values.get("id", None if is_required else place)
        if not isinstance(value, str | int):
            self._expected("id", "a text or a number")
        return str(value)

    def box(self, values: object, *, form: BoxForm, key: str, on: Size | None) -> Box:
        """Four numbers as a box that lies on a picture of size `on` (None: not checked)."""
        if (
            not isinstance(values, list | tuple)
            or len(values) != 4
            or not all(map(_is_number, values))
        ):
            self.fail(f'"{key}" must hold boxes of four numbers, got {values!r}')
        try:
            box = Box.from_xywh(*values) if form == "xywh" else Box(*values)
        except ValueError as error:
            self.fail(f'"{key}": {error}')
        if on is not None:
            self._check_inside(box, key=key, on=on)
        return box

    def boxes(self, key: str, *, form: BoxForm, on: Size) -> tuple[Box, ...]:
        """The list of boxes under `key`."""
        value = self.values.get(key)
        if not isinstance(value, list):
            self._expected(key, "a list of boxes")
        return tuple(self.box(entry, form=form, key=key, on=on) for entry in value)

    def scorer(self, scorer: Scorer, answer: str, *, key: str, image: str) -> Scorer:
        """The scorer of a task whose right answer the row writes so under `key`; the boxes that it
        wants hit lie on the picture.
        """
        try:
            found = scorer.for_answer(answer)
        except ValueError as error:
            self.fail(f'"{key}": {error}')
        for box in found.boxes:
            self._check_inside(box, key=key, on=self.picture_size(image))
        return found

    def picture(self, name: str) -> str:
        """The path of a picture that exists."""
        if not (self.root / name).is_file():
            self.fail(f"picture {name!r} is not in {self.root}")
        return str(self.root / name)

    def picture_size(self, path: str) -> Size:
        """Size of the picture from its header."""
        return read_size(path, source=self.source)

    def check_slots(self, question: str, *, num_images: int) -> None:
        """A question has one `<image>` per picture, or none at all."""
        num_slots = question.count(IMAGE_SLOT)
        if num_slots not in (0, num_images):
            self.fail(f"{num_slots} {IMAGE_SLOT} slots in the question, but {num_images} pictures")

    def _check_inside(self, box: Box, *, key: str, on: Size) -> None:
        if not box.is_inside(on):
            self.fail(f'"{key}": box {box.as_tuple()} is not on the {on.width}x{on.height} picture')

    def _expected(self, key: str, kind: str) -> NoReturn:
        if key not in self.values:
            self.fail(
                f'the key "{key}" is missing (it must be {kind}); keys: {sorted(self.values)}'
            )
        self.fail(f'"{key}" must be {kind}, got {self.values[key]!r:.80}')


def read_lines(path: str | Path, *, image_root: str | Path | None = None) -> Iterator[Row]:
    """The rows of a JSONL file, with one line at a time in memory; blank lines are skipped.

    Args:
        path: The file.
        image_root: Where its picture names start; the file's own folder when None.
    Raises:
        DataError: The file is missing, not UTF-8, or a line is not a JSON object.
    """
    path, root = Path(path), root_of(path, image_root)
    for number, text in _written_lines(path):
        yield _row(_parse(text, path=path, line=number), Row({}, path, number, root=root))


def opens_list(path: Path) -> bool:
    """Whether the first character of a file opens a JSON list: then it is no JSONL."""
    return any(text.lstrip().startswith("[") for _, text in islice(_written_lines(path), 1))


def read_items(path: str | Path, *, image_root: str | Path | None = None) -> list[Row]:
    """The rows of a file that is one JSON list of objects; arguments as above.

    Raises:
        DataError: The file is missing, not UTF-8, or not a list of objects.
    """
    path, root = Path(path), root_of(path, image_root)
    value = _parse(read_text(path), path=path)
    if not isinstance(value, list):
        raise DataError("the file must be one JSON list", path=path)
    return [
        _row(item, Row({}, path, name=f"item {i}", root=root))
        for i, item in enumerate(value, start=1)
    ]


def read_object(path: Path) -> Row:
    """The row of a file that is one JSON object."""
    return _row(_parse(read_text(path), path=path), Row({}, path))


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


def numbers(box: Box, *, form: BoxForm) -> list[float]:
    """A box as the files spell it; whole numbers without a decimal point."""
    left, top, right, bottom = box.as_tuple()
    values = (left, top, right - left, bottom - top) if form == "xywh" else box.as_tuple()
    return [int(value) if float(value).is_integer() else value for value in values]


def root_of(path: str | Path, image_root: str | Path | None) -> Path:
    """Where a file's picture names start: its own folder, unless another is given."""
    return Path(path).parent if image_root is None else Path(image_root)


def relative_name(path: str, *, root: Path) -> str:
    """How a file names a picture: by the way there from the root, with forward slashes."""
    return Path(os.path.relpath(Path(path).resolve(), root.resolve())).as_posix()


def _written_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                text = _decode(line, path=path, line=number)
                if text.strip():
                    yield number, text
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


def _parse(text: str, *, path: Path, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line if line is not None else error.lineno
        raise DataError(
            f"is not JSON: {error.msg} at character {error.pos}", path=path, line=at
        ) from error


def _row(value: Any, place: Row) -> Row:
    if not isinstance(value, dict):
        place.fail(f"must be a JSON object, got {value!r:.60}")
    return replace(place, values=value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
