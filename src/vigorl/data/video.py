"""Frames of video files, decoded one by one where they are asked for (PyAV, the extra `video`).

    with VideoFile("clip.mp4") as video:
        video.header                 size, length, rate: nothing but the first frame is decoded
        video.frame(12.5)            the frame that is shown at 12.5 s

A frame is reached from the key frame before it, so an hour of video takes no more memory than a
minute. Of a variable rate it is the frame that is shown at the time; numbers of frames are then
those of the mean rate. Turned as the file says.
"""

from __future__ import annotations

import json
import math
import os
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, Self

from PIL import Image

from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.core.media import VIEWS_ENDING

KEPT_OPEN = 4  # files of a process


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a container says of its video.

    Attributes:
        size: Of a frame, as it is shown.
        duration_s: Seconds from the first frame to the end of the last.
        fps: Mean frames per second.
        num_frames: At least 1; where the container does not count them, length times rate.
    """

    size: Size
    duration_s: float
    fps: float
    num_frames: int

    def time_of(self, number: int) -> float:
        """When frame `number`, from 0, comes: seconds, rounded up to the millisecond."""
        return math.ceil(number / self.fps * 1000 - 1e-6) / 1000

    def number_at(self, time_s: float) -> int:
        """The number of the frame that is shown at a time."""
        return min(max(int(time_s * self.fps + 1e-6), 0), self.num_frames - 1)


class VideoFile:
    """An open video.

    Args:
        path: The file.
        source: "file:line" of the record that names it, for error messages.
    Raises:
        DataError: PyAV is missing; or the file is missing, empty, no video, cut or damaged.
    """

    def __init__(self, path: str | os.PathLike[str], *, source: str | None = None) -> None:
        self.path, self._source = os.fspath(path), source
        try:
            import av  # an extra: most runs see no video
            from av.error import FFmpegError
        except ImportError as error:
            raise self._fault("to read videos, pip install 'vigorl[video]' (PyAV)") from error
        self._broken = (OSError, IndexError, FFmpegError)
        if not os.path.isfile(self.path):
            raise self._fault("there is no such video file")
        if os.path.getsize(self.path) == 0:
            raise self._fault("the video file is empty (0 bytes)")
        try:
            self._container = av.open(self.path)
        except self._broken as error:
            raise self._fault(f"the video cannot be read: it is no video, or cut ({error})") from (
                error
            )
        try:
            self.header = self._read_header()
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frame(self, time_s: float) -> Image.Image:
        """The last frame whose time is not after `time_s`, RGB; behind the end, the last one.

        Raises:
            DataError: It cannot be decoded, or the file ends before it says.
        """
        wanted = min(time_s, self.header.duration_s) + 1e-6
        found = self._last_until(wanted, seek_s=time_s)
        if found is None and time_s > 0:  # a key frame that is shown later than it is sent
            found = self._last_until(wanted, seek_s=0.0)
        if found is None:
            raise self._fault(f"the video has no frame at {time_s:g} s")
        gap = wanted - self._time(found)
        if found is self._last and gap > 1 + 2 / self.header.fps:
            raise self._fault(
                f"the video is cut: it ends {gap:.1f} s before {time_s:g} s, which its header has"
            )
        return _turned(found)

    def _last_until(self, wanted: float, *, seek_s: float) -> Any:
        """The last frame up to a time, decoded on from a key frame; None where they are later."""
        found, self._last = None, None
        for frame in self._decoded(seek_s):
            if self._time(frame) > wanted:
                return found
            found = frame
        self._last = found  # nothing comes behind it
        return found

    def _decoded(self, seek_s: float) -> Any:
        try:
            base = self._stream.time_base or Fraction(1)
            self._container.seek(int(seek_s / base) + self._start, stream=self._stream)
            yield from self._container.decode(self._stream)
        except self._broken as error:
            raise self._fault(
                f"the video cannot be read near {seek_s:g} s, it is cut or damaged: {error}"
            ) from error

    def _read_header(self) -> VideoHeader:
        try:
            self._stream = stream = self._container.streams.video[0]
        except IndexError as error:
            raise self._fault("the file has no video in it, or is cut") from error
        stream.codec_context.thread_count = 1  # else a seek waits for all of them
        self._start, self._last = stream.start_time or 0, None
        first = next(iter(self._decoded(0.0)), None)
        if first is None:
            raise self._fault("the video has no frame")
        shown = _turned(first).size
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        duration = float(stream.duration * (stream.time_base or 0)) if stream.duration else 0.0
        duration = duration or (self._container.duration or 0) / 1e6 or stream.frames / (fps or 1)
        if not (fps > 0 and duration > 0):
            raise self._fault("the video states neither its length nor its rate: encode it again")
        frames = stream.frames or max(round(duration * fps), 1)
        return VideoHeader(Size(*shown), duration, fps, frames)

    def _time(self, frame: Any) -> float:
        start = float(self._start * (self._stream.time_base or 0))
        return (frame.time or 0.0) - start

    def _fault(self, message: str) -> DataError:
        text = f"{message}; named by {self._source}" if self._source else message
        return DataError(text, path=self.path)


class ViewsFile:
    """Pictures of equal size that a JSON list names, below its own folder, as frames, one a second:
    what the cameras of a scene see, or the frames of a video that are already files.

        ["kitchen/overview.png", "kitchen/door.png", "kitchen/window.png"]

    Args:
        path: The list, NAME.views.
        source: As of `VideoFile`.
    Raises:
        DataError: It is missing or no such list; or a picture is missing or lies elsewhere.
    """

    def __init__(self, path: str, *, source: str | None = None) -> None:
        # imported here: pictures are read there, frames of videos among them
        from vigorl.data.pictures import read_size

        self.path, self._source = path, source
        try:
            names = json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise self._fault(f"the list of views cannot be read ({error})") from error
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise self._fault('a list of views is a JSON list of picture files: ["a.png", "b.png"]')
        folder = Path(path).parent
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise self._fault(f"view {name!r:.80} leads out of the folder of its list")
            if not (folder / name).is_file():
                raise self._fault(f"view {name!r:.80} is not beside its list")
        self._views = [str(folder / name) for name in names]
        size = read_size(self._views[0], source=source)
        self.header = VideoHeader(size, float(len(names)), 1.0, len(names))

    def close(self) -> None:
        """Nothing stays open."""

    def frame(self, time_s: float) -> Image.Image:
        """The picture that stands for a second.

        Raises:
            DataError: It cannot be read, or is not as large as the first.
        """
        from vigorl.data.pictures import open_image

        path = self._views[self.header.number_at(time_s)]
        picture, size = open_image(path, source=self._source), self.header.size
        if picture.size != (size.width, size.height):
            raise self._fault(
                f"view {Path(path).name!r:.80} is {picture.width}x{picture.height}, the first one "
                f"{size.width}x{size.height}: views of one list are equally large"
            )
        return picture

    def _fault(self, message: str) -> DataError:
        text = f"{message}; named by {self._source}" if self._source else message
        return DataError(text, path=self.path)


_OPEN: OrderedDict[tuple[object, ...], VideoFile | ViewsFile] = OrderedDict()
_LOCK = Lock()


def read_header(path: str | os.PathLike[str], *, source: str | None = None) -> VideoHeader:
    """What a video's container says.

    Raises:
        DataError: As `VideoFile`.
    """
    with _LOCK:
        return _opened(os.fspath(path), source).header


def read_frame(path: str | os.PathLike[str], time_s: float) -> Image.Image:
    """The frame that is shown at a time; of the last few videos the files stay open.

    Raises:
        DataError: As `VideoFile` and `VideoFile.frame`.
    """
    with _LOCK:
        return _opened(os.fspath(path), None).frame(time_s)


def _opened(path: str, source: str | None) -> VideoFile | ViewsFile:
    # a fork shares its parent's place in a file, and a written file is another one
    found = os.stat(path) if os.path.isfile(path) else None
    key = (os.getpid(), path, found and (found.st_size, found.st_mtime_ns))
    if key not in _OPEN:
        video = (ViewsFile if path.endswith(VIEWS_ENDING) else VideoFile)(path, source=source)
        while len(_OPEN) >= KEPT_OPEN:
            of, old = _OPEN.popitem(last=False)
            if of[0] == os.getpid():
                old.close()
        _OPEN[key] = video
    _OPEN.move_to_end(key)
    return _OPEN[key]


def _turned(frame: Any) -> Image.Image:
    picture = frame.to_image().convert("RGB")
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
