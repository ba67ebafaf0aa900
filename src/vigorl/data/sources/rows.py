"""What the readers share: one row of a file that knows where it stands, and reads its fields with a
named fault.

Boxes come in two spellings, never guessed: "xywh" (V*Bench, ScreenSpot-v2) and "xyxy"
(ScreenSpot-Pro, the released web data).
"""

from __future__ import annotations

import os
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeGuard

from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import file_of, is_video
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.frames import Frames
from vigorl.data.images import read_size
from vigorl.data.sources.option_texts import parse_list
from vigorl.data.video import read_header

VIDEO_SLOT = "<video>"
BoxForm = Literal["xywh", "xyxy"]
MAX_NUMBER = 2**53  # whole numbers up to here are floats without loss
MAX_COUNT = 10_000  # of simulations and visits; pages draw a place for each
MAX_SIDE_PX = 10**6
MAX_MESSAGE = 500  # characters: a row may hold anything


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a data file.

    Attributes:
        values: The object.
        path: The file.
        line: 1-based line; None in a file that is one JSON value.
        name: What to call the row where there is no line, such as "item 3".
        root: Where picture names start.
        pictures_anywhere: Whether picture names may lead out of `root`.
        frames: Which frames of a video are shown; None: a video is a fault.
        notes: What its reader has taken otherwise than it is written, and how often.
    """

    values: Mapping[str, Any]
    path: Path
    line: int | None = None
    name: str = ""
    root: Path = Path()
    pictures_anywhere: bool = False
    frames: Frames | None = None
    notes: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def source(self) -> str:
        """ "file:line", or "file (item 3)"."""
        if self.line is not None:
            return f"{self.path}:{self.line}"
        return f"{self.path} ({self.name})" if self.name else str(self.path)

    def fail(self, message: str) -> NoReturn:
        """Raise the row's DataError."""
        text = f"{self.name}: {message}" if self.name else message
        if len(text) > MAX_MESSAGE:
            text = f"{text[:MAX_MESSAGE]}..."
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

    def count(self, key: str) -> int:
        """The whole number from 0 to `MAX_COUNT` under `key`."""
        value = self.number(key)
        if not 0 <= value <= MAX_COUNT or value != int(value):
            self._expected(key, f"a whole number from 0 to {MAX_COUNT}")
        return int(value)

    def tags(self) -> dict[str, str]:
        """The object of texts under "tags"; a missing one is empty."""
        value = self.values.get("tags", {})
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            self._expected("tags", "an object of texts")
        return dict(value)

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
            or not all(type(n) is int and 0 < n <= MAX_SIDE_PX for n in value)
        ):
            self.fail(f'"{key}" must be [width, height] in pixels or null, got {value!r:.80}')
        return Size(*value)

    def options(self, answer: str) -> tuple[str, ...]:
        """The texts under "options", the right answer among them; a missing list is empty."""
        options = self.texts("options", is_required=False)
        if options and answer not in options:
            self.fail(f"the answer {answer!r:.80} is not among the options {list(options)!s:.200}")
        return options

    def identity(self, *, key: str = "id", is_required: bool = False) -> str:
        """The row's id as text (released files have numbers and texts); unless it is required, a
        missing one is file and line.
        """
        place = f"{self.path.stem}:{self.line or self.name.removeprefix('item ')}"
        value = self.values.get(key, None if is_required else place)
        if not isinstance(value, str | int) or isinstance(value, bool):
            self._expected(key, "a text or a number")
        return str(value)

    def box(self, values: object, *, form: BoxForm, key: str, on: Size | None) -> Box:
        """Four numbers as a box that lies on a picture of size `on` (None: not checked).

        Shares of the picture (0 to 1) are taken as such, and a box that reaches up to a pixel over
        the border is clipped; both are noted. [0, 0, 1, 1] is one pixel.
        """
        if (
            not isinstance(values, list | tuple)
            or len(values) != 4
            or not all(map(_is_number, values))
        ):
            self.fail(f'"{key}" must hold boxes of four numbers, got {values!r:.80}')
        if on is not None and are_shares(values):
            self.notes["boxes are shares of the picture (0 to 1), and taken as such"] += 1
            values = [n * side for n, side in zip(values, (on.width, on.height) * 2, strict=True)]
        try:
            box = Box.from_xywh(*values) if form == "xywh" else Box(*values)
            return box if on is None or box.is_inside(on) else self._clipped(box, on=on)
        except ValueError as error:
            self.fail(f'"{key}": {error}')

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
        size = self.picture_size(image) if found.boxes else None
        boxes = [self.box(b.as_tuple(), form="xyxy", key=key, on=size) for b in found.boxes]
        return PointInBox(*boxes) if type(found) is PointInBox else found

    def picture(self, name: str) -> str:
        """The path of a picture that exists, in `root` unless it may be anywhere; or the name of a
        frame of such a video.
        """
        path = str(self.root / name)
        if not self.pictures_anywhere and not _is_below(path, self.root):
            self.fail(
                f"picture {name!r:.80} leads out of {self.root}; "
                "data.pictures_anywhere=true allows it"
            )
        if not os.path.isfile(file_of(path)):  # Path.is_file raises for names that are too long
            self.fail(f"picture {name!r:.80} is not in {self.root}")
        return path

    def picture_size(self, path: str) -> Size:
        """Size of the picture from its header."""
        return read_size(path, source=self.source)

    def checked(self, task: TaskRecord) -> TaskRecord:
        """The task, of which everything that its turn will need is there: a question, an answer,
        options that letters can name and tell apart, slots that fit, pictures with a header; videos
        by their frames.
        """
        if any(map(is_video, task.images)):
            task = self._with_frames(task)
        self.check_slots(task.question, num_images=len(task.images))
        if not task.question.replace(IMAGE_SLOT, "").strip():
            self.fail("the question is empty")
        if not task.answer.strip():
            self.fail("the answer is empty")
        options = task.options
        is_whole = 2 <= len(set(options)) == len(options) <= len(string.ascii_uppercase)
        if options and not (is_whole and all(map(str.strip, options))):
            self.fail(
                "options must be 2 to 26 different texts, none empty, got "
                f"{len(options)}: {list(options)!s:.200}"
            )
        for path in task.images:
            self.picture_size(path)
        return task

    def _with_frames(self, task: TaskRecord) -> TaskRecord:
        """The task with frames in the place of videos, named where those stood or before the text;
        a video may stand in the question as `<video>` or as `<image>`.
        """
        if self.frames is None:
            self.fail("a video is named: frames@data.frames=even says which frames are shown")
        question = task.question.replace(VIDEO_SLOT, IMAGE_SLOT)
        self.check_slots(question, num_images=len(task.images))
        has_slots, images, texts = IMAGE_SLOT in question, list[str](), list[str]()
        for name in task.images:
            if not is_video(name):
                images.append(name)
                texts.append(IMAGE_SLOT)
                continue
            header = read_header(name, source=self.source)
            try:
                images += self.frames.names(name, header)
                texts.append(self.frames.text(header))
            except ValueError as error:
                self.fail(f"{error}: {name}")
        if not has_slots:
            return replace(task, question="".join(texts) + question, images=tuple(images))
        before, *after = question.split(IMAGE_SLOT)
        shown = "".join(
            text + part.removeprefix("\n" if text.endswith("\n") else "")
            for text, part in zip(texts, after, strict=True)
        )
        return replace(task, question=before + shown, images=tuple(images))

    def check_slots(self, question: str, *, num_images: int) -> None:
        """A question has one `<image>` per picture, or none at all."""
        num_slots = question.count(IMAGE_SLOT)
        if num_slots not in (0, num_images):
            self.fail(f"{num_slots} {IMAGE_SLOT} slots in the question, but {num_images} pictures")

    def _clipped(self, box: Box, *, on: Size) -> Box:
        """The box without up to a pixel that reaches over the border.

        Raises:
            ValueError: There is more, or nothing is left.
        """
        if not Box(-1, -1, on.width + 1, on.height + 1).covers(box):
            raise ValueError(f"box {box.as_tuple()} is not on the {on.width}x{on.height} picture")
        self.notes["boxes reach up to a pixel over the border, and are clipped"] += 1
        left, top, right, bottom = box.as_tuple()
        return Box(max(left, 0), max(top, 0), min(right, on.width), min(bottom, on.height))

    def _expected(self, key: str, kind: str) -> NoReturn:
        if key not in self.values:
            self.fail(
                f'the key "{key}" is missing (it must be {kind}); '
                f"keys: {sorted(self.values)!s:.200}"
            )
        self.fail(f'"{key}" must be {kind}, got {self.values[key]!r:.80}')


def boxes_of(row: Row, name: str) -> Sequence[Any]:
    """The boxes of a row as they are written, one or several; a list may be written as a text.

    Raises:
        DataError: It is no list.
    """
    value = row.values.get(name)
    if isinstance(value, str) and value.strip():
        try:
            value = parse_list(value.strip())
        except ValueError as error:
            row.fail(f"{name!r}: {error}")
    if value is None or value == "":
        return ()
    if not isinstance(value, list | tuple):
        row.fail(f"{name!r} must be a list of boxes, got {value!r:.80}")
    is_one = len(value) == 4 and all(isinstance(one, int | float) for one in value)
    return [value] if is_one else value


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
    if not _is_below(path, root):  # one of the folders may have been reached through a link
        folder, name = os.path.split(path)
        path, root = os.path.join(os.path.realpath(folder), name), root.resolve()
    return Path(os.path.relpath(path, root)).as_posix()


def _is_below(path: str, folder: Path) -> bool:
    """Whether the path stays in the folder by its name; links in it lead where they lead."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def are_shares(numbers: Iterable[float]) -> bool:
    """Whether coordinates are shares of a picture: from 0 to 1, and not all of them whole."""
    numbers = list(numbers)
    return all(0 <= n <= 1 for n in numbers) and any(0 < n < 1 for n in numbers)


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= MAX_NUMBER  # not so NaN
