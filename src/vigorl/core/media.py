"""What is shown to a model, and how texts speak of places in it.

An `ImageView` is a reference, never pixels: a source, a box of it, the size at which the model
sees it, and the frame of the coordinates that texts use for it. It is the only way from a
coordinate in a text to a place in the picture and back; nothing else converts.

    >>> view = ImageView(FileImage("room.png"), Size(448, 448), Size(112, 112))
    >>> view.to_original(Point(50, 20)), view.to_text(Point(200, 80))
    (Point(x=200.0, y=80.0), Point(x=50, y=20))
    >>> view.in_frame(TextFrame.PERMILLE).to_text(Point(224, 112))
    Point(x=500, y=250)
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vigorl.core.geometry import Box, FrameMap, Point, Size

Rgb = tuple[int, int, int]
BLACK: Rgb = (0, 0, 0)
GREY: Rgb = (128, 128, 128)


class TextFrame(StrEnum):
    """The coordinates that texts use for a picture; the model family's habit."""

    PIXELS = "pixels"  # of the view as it is shown (Qwen2.5-VL)
    PERMILLE = "permille"  # 0 to 1000 on both axes (Qwen2-VL, Qwen3-VL, Qwen3.5)
    UNIT = "unit"  # 0 to 1 on both axes, three decimals


@dataclass(frozen=True, slots=True)
class FileImage:
    """A picture file."""

    path: str

    @property
    def key(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """The frame of a video file that is shown at a time, in seconds from its start."""

    path: str
    time_s: float

    @property
    def key(self) -> str:
        return f"{self.path}@{self.time_s!r}s"


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture that a tool has made, kept in a file that is named by its content.

    Attributes:
        digest: Hexadecimal digest of the pixels; the name in every cache.
        path: The file.
    """

    digest: str
    path: str

    @property
    def key(self) -> str:
        return f"stored:{self.digest}"


@dataclass(frozen=True, slots=True)
class Fill:
    """A box painted over, or all of the picture; ORIGINAL pixels."""

    box: Box | None = None
    rgb: Rgb = BLACK


@dataclass(frozen=True, slots=True)
class Noise:
    """A box of it, or all of the picture, covered by pixels that are independent and uniform in
    each channel; ORIGINAL pixels, so a view that shows them smaller is nearly grey.
    """

    box: Box | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """All of the picture as keep * x + sigma * e, with x in [0, 1], e independent and standard
    normal in each channel, held in [0, 1]; ORIGINAL pixels.
    """

    keep: float
    sigma: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Patches:
    """Cells of a grid over a box, or over all of the picture, each painted black by chance;
    ORIGINAL pixels.

    Attributes:
        width_px: Of a cell.
        height_px: Of a cell.
        share: In [0, 1], how likely each cell is painted.
        box: Where.
        seed: Of the draw.
    """

    width_px: float
    height_px: float
    share: float
    box: Box | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Dot:
    """A disc at a point; ORIGINAL pixels."""

    point: Point
    radius_px: float = 4.0
    rgb: Rgb = (255, 0, 0)


@dataclass(frozen=True, slots=True)
class Outline:
    """The edge of a box; ORIGINAL pixels."""

    box: Box
    width_px: int = 3
    rgb: Rgb = (255, 0, 0)


@dataclass(frozen=True, slots=True)
class Tint:
    """A box coloured so that what is below shows through; ORIGINAL pixels.

    Attributes:
        box: Where.
        strength: In [0, 1], how much of the colour is mixed in.
        rgb: The colour.
    """

    box: Box
    strength: float = 0.4
    rgb: Rgb = (255, 0, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """Straight from point to point, through two or more; ORIGINAL pixels."""

    points: tuple[Point, ...]
    width_px: int = 3
    rgb: Rgb = (255, 0, 0)


@dataclass(frozen=True, slots=True)
class Label:
    """A text whose upper left corner is at a point; ORIGINAL pixels."""

    point: Point
    text: str
    height_px: int = 16
    rgb: Rgb = (255, 0, 0)


Mark = Fill | Noise | GaussianNoise | Patches | Dot | Outline | Tint | Line | Label


@dataclass(frozen=True, slots=True)
class Edited:
    """A source with marks on it, in the order in which they are drawn.

    It holds a source, not a view: the marks are in ORIGINAL pixels, so a zoom into an edited
    picture is cut from its full resolution, and coordinates stay those of the file.
    """

    source: FileImage | VideoFrame | Stored
    marks: tuple[Mark, ...]

    @property
    def path(self) -> str:
        return self.source.path

    @property
    def key(self) -> str:
        return f"{self.source.key}+{self.marks!r}"


Source = FileImage | VideoFrame | Stored | Edited

VIEWS_ENDING = ".views"  # a JSON list of picture files, which are then named as a video's frames
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", VIEWS_ENDING)
_FRAME = re.compile(r"(?P<path>.+)#t=(?P<time>\d{1,9}(?:\.\d{1,6})?)(?:&px=(?P<px>\d{1,9}))?")


def frame_name(path: str, time_s: float, *, max_pixels: int | None = None) -> str:
    """How records name a frame of a video among their pictures (as in W3C media fragments).

    Args:
        path: The video.
        time_s: From its start, kept to the millisecond.
        max_pixels: Largest area at which the frame is shown; None leaves it to the model's limits.

    >>> frame_name("clip.mp4", 12.5), frame_name("clip.mp4", 3, max_pixels=50176)
    ('clip.mp4#t=12.5', 'clip.mp4#t=3&px=50176')
    """
    time = f"{time_s:.3f}".rstrip("0").rstrip(".")
    return f"{path}#t={time}" + (f"&px={max_pixels}" if max_pixels else "")


def source_of(name: str | os.PathLike[str]) -> FileImage | VideoFrame:
    """What a record's name of a picture stands for: a file, or a frame of a video file."""
    found = _FRAME.fullmatch(name := os.fspath(name))
    return VideoFrame(found["path"], float(found["time"])) if found else FileImage(name)


def is_video(name: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a whole video, or of a list of views, by its ending."""
    return os.fspath(name).lower().endswith(VIDEO_ENDINGS)


def file_of(name: str | os.PathLike[str]) -> str:
    """The file in which a picture of that name lies; of all frames of a video the same one."""
    return source_of(name).path


def most_pixels_of(name: str | os.PathLike[str]) -> int | None:
    """The largest area at which a picture of that name is shown, where the name says one."""
    found = _FRAME.fullmatch(os.fspath(name))
    return int(found["px"]) if found and found["px"] else None


@dataclass(frozen=True, slots=True)
class ImageView:
    """A picture, or a box of it, at the size at which the model sees it.

    Attributes:
        source: Where its pixels come from.
        original: Size of the source's picture, after EXIF rotation.
        size: Size in pixels as the model sees it (multiples of patch x merge, once an
            `data.images.ImageStore` has fitted it).
        box: Integer ORIGINAL-frame box that is shown, or None for the whole picture.
        frame: How texts write coordinates in it.
    """

    source: Source
    original: Size
    size: Size
    box: Box | None = None
    frame: TextFrame = TextFrame.PIXELS

    @property
    def path(self) -> str:
        """The file that its pixels come from, for messages."""
        return self.source.path

    @property
    def key(self) -> str:
        """Its name in every cache: equal keys are equal pixels."""
        box = "whole" if self.box is None else "x".join(map(str, self.box.as_tuple()))
        return f"{self.source.key}|{box}|{self.size.width}x{self.size.height}"

    @property
    def unmarked(self) -> FileImage | VideoFrame | Stored:
        """Its source, without what is drawn on it."""
        return self.source.source if isinstance(self.source, Edited) else self.source

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What is drawn on its source, in order."""
        return self.source.marks if isinstance(self.source, Edited) else ()

    @property
    def is_noisy(self) -> bool:
        """Whether Gaussian noise is drawn on its source."""
        return any(isinstance(mark, GaussianNoise) for mark in self.marks)

    @property
    def without_noise(self) -> ImageView:
        """The same view of its source without Gaussian noise."""
        if not isinstance(self.source, Edited) or not self.is_noisy:
            return self
        marks = tuple(m for m in self.source.marks if not isinstance(m, GaussianNoise))
        return replace(self, source=Edited(self.source.source, marks) if marks else self.unmarked)

    @property
    def text_size(self) -> Size:
        """The frame of its coordinates in texts."""
        if self.frame is TextFrame.PIXELS:
            return self.size
        return Size(1000, 1000) if self.frame is TextFrame.PERMILLE else Size(1, 1)

    @property
    def region(self) -> Box:
        """The ORIGINAL-frame box that is shown, all of the picture included."""
        return self.box or Box(0, 0, self.original.width, self.original.height)

    def holds(self, point: Point) -> bool:
        """Whether a point of a text lies on the view."""
        return point.is_inside(self.text_size)

    def to_original(self, point: Point) -> Point:
        """The ORIGINAL-frame place that a text speaks of; unrounded."""
        mapped = FrameMap(self.text_size, self._shown_size).point(point)
        if self.box is None:
            return mapped
        return Point(self.box.left + mapped.x, self.box.top + mapped.y)

    def box_to_original(self, box: Box) -> Box:
        """The ORIGINAL-frame box that a text speaks of; unrounded."""
        first, last = (
            self.to_original(Point(box.left, box.top)),
            self.to_original(Point(box.right, box.bottom)),
        )
        return Box(first.x, first.y, last.x, last.y)

    def to_text(self, point: Point) -> Point:
        """How a text writes an ORIGINAL-frame place: rounded to the frame, kept on the view."""
        x, y = self.region.left, self.region.top
        place = self._to_grid.pixel(Point(point.x - x, point.y - y))
        return Point(self._written(place.x), self._written(place.y))

    def box_to_text(self, box: Box) -> tuple[float, float, float, float]:
        """How a text writes an ORIGINAL-frame box: rounded outwards, [left, top, right, bottom]."""
        x, y = self.region.left, self.region.top
        first = self._to_grid.point(Point(box.left - x, box.top - y))
        last = self._to_grid.point(Point(box.right - x, box.bottom - y))
        edges = (math.floor(first.x), math.floor(first.y), math.ceil(last.x), math.ceil(last.y))
        left, top, right, bottom = map(self._written, edges)
        return left, top, right, bottom

    def in_frame(self, frame: TextFrame) -> ImageView:
        """The same view spoken of in another frame."""
        return replace(self, frame=frame)

    def edited(self, *marks: Mark) -> ImageView:
        """The same view with marks drawn on its source."""
        if isinstance(self.source, Edited):
            marks = (*self.source.marks, *marks)
            return replace(self, source=Edited(self.source.source, marks))
        return replace(self, source=Edited(self.source, marks))

    @property
    def _shown_size(self) -> Size:
        if self.box is None:
            return self.original
        return Size(round(self.box.right - self.box.left), round(self.box.bottom - self.box.top))

    @property
    def _to_grid(self) -> FrameMap:
        """To the places that texts of the frame can tell apart."""
        grid = self.size if self.frame is TextFrame.PIXELS else Size(1000, 1000)
        return FrameMap(self._shown_size, grid)

    def _written(self, place: float) -> float:
        return place / 1000 if self.frame is TextFrame.UNIT else place


@dataclass(frozen=True, slots=True)
class Region:
    """Where a tool looked, in ORIGINAL pixels of one picture of the scene.

    Attributes:
        point: What it was asked about, or the middle of it.
        box: What it showed; None where it showed no part of the picture.
        picture: Index of the picture among all views of the scene.
    """

    point: Point
    box: Box | None = None
    picture: int = 0

    def on_first(self, scene: Sequence[ImageView]) -> Region | None:
        """The look as one at the first picture of its scene, ORIGINAL pixels of that picture.

        A crop and a marked picture are cut of the same file, so places on them are places on it.
        None where no place of the first picture answers to it: the look is at another file or
        another frame of a video, or at what a tool has made, such as a turned picture.
        """
        if scene[self.picture].unmarked != scene[0].unmarked:
            return None
        return replace(self, picture=0)
