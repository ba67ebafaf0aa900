"""Draw one clip of the made world: a camera that shows a scene from afar, and its signs from near.

A line sweeps over the scene from left to right, once in the clip. About when it crosses a sign the
camera shows that sign close for a few frames, in which alone its stripes can be read; all other
frames show the whole scene. So where a sign stands in the first frame tells roughly when to look:
one who sees a few frames of the whole can choose the right ones, one who is shown frames at an even
distance often gets none. Signs that the line crosses at about the same time come one after the
other, and the twin of the asked sign is near it in the scene, and so in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from PIL import Image, ImageDraw

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point, Size, zoom_window
from vigorl.core.ranges import AtLeastOne, Positive, Range, check_ranges
from vigorl.data.scenes.draw import Scene, SceneSettings, Sign, draw_scene

Side = Annotated[int, Range(ge=56, le=4096)]
_LINE = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How hard the clips are.

    Attributes:
        num_frames: Of a clip.
        fps: Frames per second.
        close_frames: Frames that show a sign close.
        side_px: Side of a frame; a close frame shows as many pixels of the scene, at full detail.
        scene: What is shown.
    Raises:
        ConfigError: A number out of its range; or the close frames leave none for the whole.
    """

    num_frames: AtLeastOne = 32
    fps: Positive = 4.0
    close_frames: AtLeastOne = 2
    side_px: Side = 112
    scene: SceneSettings = field(default_factory=SceneSettings)

    def __post_init__(self) -> None:
        check_ranges(self, "data.clip")
        close = self.close_frames * self.scene.num_signs
        if close > self.num_frames - 2:
            raise ConfigError(
                f"data.clip.num_frames={self.num_frames} must be at least {close + 2}: the first, "
                f"the last, and close_frames={self.close_frames} of each sign"
            )


@dataclass(frozen=True, slots=True)
class Clip:
    """A drawn clip.

    Attributes:
        settings: Of its drawing.
        scene: What it shows; the first sign is the one that is asked about.
        starts: The first frame that shows each sign close, in the order of the signs.
    """

    settings: ClipSettings
    scene: Scene
    starts: tuple[int, ...]

    def shown(self, number: int) -> Sign | None:
        """The sign that a frame shows close."""
        for sign, start in zip(self.scene.signs, self.starts, strict=True):
            if start <= number < start + self.settings.close_frames:
                return sign
        return None

    @property
    def num_frames(self) -> int:
        return self.settings.num_frames

    @property
    def fps(self) -> float:
        return self.settings.fps

    @property
    def side_px(self) -> int:
        """Of a frame."""
        return self.settings.side_px

    def start_of(self, sign: Sign) -> int:
        """The first frame that shows a sign close."""
        return self.starts[self.scene.signs.index(sign)]

    def expected_at(self, sign: Sign) -> int:
        """Where one who sees the whole alone would look for it."""
        return expected_start(self.settings, sign.center.x)

    def in_frame(self, sign: Sign) -> Point:
        """Where a sign is in the frames that show the whole, their pixels."""
        scale = self.settings.side_px / self.settings.scene.side_px
        return Point(sign.center.x * scale, sign.center.y * scale)

    def frames(self) -> Iterator[Image.Image]:
        """All frames in order."""
        side = self.settings.side_px
        whole = self.scene.image.resize((side, side), Image.Resampling.BICUBIC)
        for number in range(self.settings.num_frames):
            if sign := self.shown(number):
                yield close_up(self.scene, sign, side_px=side)
                continue
            swept, x = whole.copy(), number * side // self.settings.num_frames
            ImageDraw.Draw(swept).line((x, 0, x, side), fill=_LINE)
            yield swept


def close_up(scene: Scene, sign: Sign, *, side_px: int) -> Image.Image:
    """A square of the scene about a sign, in full detail."""
    window = zoom_window(sign.center, image=Size(*scene.image.size), side_px=side_px)
    left, top, right, bottom = map(int, window.as_tuple())
    return scene.image.crop((left, top, right, bottom))


def draw_clip(settings: ClipSettings, *, seed: int) -> Clip:
    """The clip of a seed.

    Raises:
        ConfigError: The signs do not fit on the scene.
    """
    scene = draw_scene(settings.scene, seed=seed)
    return Clip(settings, scene, close_starts(settings, [sign.center.x for sign in scene.signs]))


def expected_start(settings: ClipSettings, x: float) -> int:
    """When the line crosses a place of the scene, as the first of a sign's close frames.

    Args:
        settings: Of the clip.
        x: In pixels of the scene.
    """
    last = settings.num_frames - 1 - settings.close_frames
    return min(max(round(x / settings.scene.side_px * settings.num_frames) - 1, 1), last)


def close_starts(settings: ClipSettings, xs: Sequence[float]) -> tuple[int, ...]:
    """When each sign is shown close: as the line crosses it, or right after the sign before it.

    Args:
        settings: Of the clip.
        xs: Where the signs are, in pixels of the scene.
    """
    order = sorted(range(len(xs)), key=lambda i: xs[i])
    starts, free = dict[int, int](), 1
    for i in order:
        starts[i] = max(expected_start(settings, xs[i]), free)
        free = starts[i] + settings.close_frames
    end = settings.num_frames - 1  # the last frame shows the whole again
    for i in reversed(order):
        starts[i] = min(starts[i], end - settings.close_frames)
        end = starts[i]
    return tuple(starts[i] for i in range(len(xs)))


def write_clip(clip: Clip, path: Path) -> None:
    """As an MP4 file (H.264), with a key frame every eight.

    Raises:
        ConfigError: PyAV is missing.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError("to write videos, pip install 'vigorl[video]' (PyAV)") from error
    side = clip.settings.side_px
    options = {"crf": "10", "preset": "ultrafast", "g": "8"}
    with av.open(str(path), "w") as video:
        rate = Fraction(clip.settings.fps).limit_denominator(1001)
        stream = video.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in clip.frames():
            video.mux(stream.encode(av.VideoFrame.from_image(frame)))
        video.mux(stream.encode(None))
