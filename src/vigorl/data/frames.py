"""Which frames of a video a question shows, and how its text names them.

    frames@data.frames=even data.frames.count=8          evenly from the first frame to the last
    frames@data.frames=dense data.frames.fps=2       so many a second, at most `most`
    frames@data.frames=by_index data.frames.indices=[0,30,60]
    frames@data.frames=interval data.frames.start_s=10 data.frames.end_s=20
    frames@data.frames=at_times data.frames.times_s=[1.5,3]

A question's video is replaced by its frames, each named as a picture (`core.media.frame_name`) and
written as "Frame 3 at 12.5 s: <image>" where the video stood. Frames are numbered from 0 in the
video, whichever are shown, so a tool can be asked for others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from vigorl.core.errors import ConfigError
from vigorl.core.media import frame_name
from vigorl.core.ranges import AtLeastOne, Count, NotNegative, Positive, Range, check_ranges
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.video import VideoHeader

LABEL = "Frame {number} at {time:g} s: "
Area = Annotated[int, Range(ge=784, words="784 pixels (a token of 28 x 28) or more")]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What all rules share.

    Attributes:
        label: What stands before a frame, with the fields {number} and {time}, in seconds.
        max_pixels: Largest area at which a frame is shown; null leaves it to `pixels`.
    Raises:
        ConfigError: A setting out of its range; or the label has another field.
    """

    label: str = LABEL
    max_pixels: Area | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "data.frames")
        check_label("data.frames.label", self.label)

    @abstractmethod
    def numbers(self, header: VideoHeader) -> Sequence[int]:
        """The frames that are shown, in order.

        Raises:
            ValueError: The video has not these.
        """

    def names(self, path: str, header: VideoHeader) -> list[str]:
        """Their names as pictures."""
        times = map(header.time_of, self.numbers(header))
        return [frame_name(path, time, max_pixels=self.max_pixels) for time in times]

    def text(self, header: VideoHeader) -> str:
        """What stands in a question in the video's place, with a slot for each."""
        return "".join(
            f"{written_label(self.label, number, header)}{IMAGE_SLOT}\n"
            for number in self.numbers(header)
        )


@dataclass(frozen=True, kw_only=True)
class Even(Frames):
    """`count` frames from the first to the last, or all if there are fewer; one is the middle."""

    count: AtLeastOne = 8

    def numbers(self, header: VideoHeader) -> Sequence[int]:
        return spread(0, header.num_frames - 1, self.count)


@dataclass(frozen=True, kw_only=True)
class Dense(Frames):
    """`fps` frames a second from the first on; `most` evenly where that would be more."""

    fps: Positive = 2.0
    most: AtLeastOne = 64

    def numbers(self, header: VideoHeader) -> Sequence[int]:
        count = max(int(header.duration_s * self.fps), 1)
        if count > self.most:
            return spread(0, header.num_frames - 1, self.most)
        return list(dict.fromkeys(header.number_at(i / self.fps) for i in range(count)))


@dataclass(frozen=True, kw_only=True)
class ByIndex(Frames):
    """These frames, by their numbers from 0."""

    indices: Sequence[Count] = (0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "indices", tuple(self.indices))  # a config gives a list of its own

    def numbers(self, header: VideoHeader) -> Sequence[int]:
        if not self.indices or max(self.indices) >= header.num_frames:
            raise ValueError(
                f"data.frames.indices={list(self.indices)} of a video of {header.num_frames} frames"
            )
        return list(self.indices)


@dataclass(frozen=True, kw_only=True)
class Interval(Frames):
    """`count` frames of a part of the video, evenly."""

    start_s: NotNegative = 0.0
    end_s: Positive = 10.0
    count: AtLeastOne = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_s >= self.end_s:
            raise ConfigError(
                f"data.frames.start_s={self.start_s:g} must be before end_s={self.end_s:g}"
            )

    def numbers(self, header: VideoHeader) -> Sequence[int]:
        return interval(header, self.start_s, self.end_s, self.count)


@dataclass(frozen=True, kw_only=True)
class AtTimes(Frames):
    """The frames that are shown at these times."""

    times_s: Sequence[NotNegative] = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "times_s", tuple(self.times_s))

    def numbers(self, header: VideoHeader) -> Sequence[int]:
        if not self.times_s or max(self.times_s) >= header.duration_s:
            raise ValueError(
                f"data.frames.times_s={list(self.times_s)} of a video of {header.duration_s:g} s"
            )
        return [header.number_at(time) for time in self.times_s]


def spread(first: int, last: int, count: int) -> list[int]:
    """`count` whole numbers from the first to the last, evenly; fewer where there are no more.

    >>> spread(0, 31, 4), spread(0, 31, 1), spread(3, 5, 8)
    ([0, 10, 21, 31], [16], [3, 4, 5])
    """
    if count == 1:
        return [round((first + last) / 2)]
    step = (last - first) / (count - 1)
    return list(dict.fromkeys(round(first + i * step) for i in range(count)))


def interval(header: VideoHeader, start_s: float, end_s: float, count: int) -> list[int]:
    """`count` frames between two times, evenly.

    Raises:
        ValueError: It begins behind the video's end.
    """
    if start_s >= header.duration_s:
        raise ValueError(f"it begins at {start_s:g} s, the video ends at {header.duration_s:g} s")
    return spread(header.number_at(start_s), header.number_at(end_s), count)


def written_label(label: str, number: int, header: VideoHeader) -> str:
    """What stands before a frame."""
    return label.format(number=number, time=header.time_of(number))


def check_label(key: str, label: str) -> None:
    """Refuse a template with other fields, or with a slot of its own.

    Raises:
        ConfigError: Names the key.
    """
    try:
        written = label.format(number=0, time=0.0)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{key}={label!r}: its fields are {{number}} and {{time}} ({error})"
        ) from error
    if IMAGE_SLOT in written:
        raise ConfigError(f"{key}={label!r}: the frame itself is put behind it")
