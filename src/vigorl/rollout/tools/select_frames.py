"""Frames of the video that the question is about, chosen by the policy.

    {"name": "select_frames", "arguments": {"frames": [12, 13]}}           by=numbers
    {"name": "select_frames", "arguments": {"start": 2.5, "end": 4}}       by=interval, in seconds
    {"name": "choose_camera", "arguments": {"cameras": [6]}}               by=cameras

Cameras are the pictures of a list of views (`data.video.ViewsFile`), by their numbers. The reply
shows each frame behind its number and time; all of them are pictures of the scene, so other tools
work on them.
Source: Pixel Reasoner, arXiv:2505.15966 (`select_frames{target_frames}`, at most 8 a call);
FrameThinker, arXiv:2509.24304 (`choose frames between A and B`); PhysVLM-AVR, arXiv:2510.21111
(another viewpoint of the scene).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vigorl.core.geometry import Box, Size
from vigorl.core.media import ImageView, VideoFrame
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, check_ranges
from vigorl.data.frames import LABEL, check_label, interval, written_label
from vigorl.data.video import VideoHeader, read_header
from vigorl.rollout.tools.arguments import LARGEST_COORDINATE, read_number, view_size

_BY = {
    "numbers": ToolSpec(
        (Argument("frames", ArgumentKind.INDICES),),
        purpose="a look at frames of the video by their numbers",
        reply="those frames",
    ),
    "interval": ToolSpec(
        (Argument("start", ArgumentKind.NUMBER), Argument("end", ArgumentKind.NUMBER)),
        purpose="a look at a part of the video, from one second to another",
        reply="frames of that part",
    ),
    "cameras": ToolSpec(
        (Argument("cameras", ArgumentKind.INDICES),),
        purpose="a look through cameras of the scene by their numbers",
        reply="what those cameras see",
    ),
}


@dataclass(frozen=True, kw_only=True)
class SelectFrames(StatelessTool):
    """Shows frames of the video of the scene's first picture.

    Attributes:
        by: Whether a call names frames by their numbers, the seconds they lie between, or cameras
            of a scene.
        most: Frames of a call; of an interval so many are shown, evenly.
        view_px: Longer side at which a frame is shown, in pixels.
        label: What stands before a frame, with the fields {number} and {time}, in seconds.
        name: What the policy calls it.
    Raises:
        ConfigError: A setting out of its range.
    """

    by: Literal["numbers", "interval", "cameras"] = "numbers"
    most: AtLeastOne = 8
    view_px: AtLeastOne = 448
    label: str = LABEL
    name: str = "select_frames"

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")
        check_label(f"tools.{self.name}.label", self.label)

    @property
    def spec(self) -> ToolSpec:
        return _BY[self.by]

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        frame = scene.first.unmarked
        if not isinstance(frame, VideoFrame):
            raise ToolError("There is no video; the first picture is no frame of one, nor a view.")
        header = read_header(frame.path)
        size = scene.first.original
        longer = min(self.view_px, max(size.width, size.height))  # nothing is won by enlarging
        whole = view_size(Box(0, 0, size.width, size.height), view_px=longer)
        parts: list[str | ImageView] = []
        for number in self._numbers(arguments, header):
            label = written_label(self.label, number, header)
            parts += [f"\n{label}" if parts else label, _view(scene.first, header, number, whole)]
        return Observation(tuple(parts))

    def _numbers(self, arguments: Mapping[str, object], header: VideoHeader) -> list[int]:
        if self.by != "interval":
            return self._named(arguments, self.spec.arguments[0].name, header)
        start = read_number(arguments, "start", low=0, high=LARGEST_COORDINATE)
        end = read_number(arguments, "end", low=0, high=LARGEST_COORDINATE)
        if start >= end or start >= header.duration_s:
            raise ToolError(
                '"start" must be before "end" and before the video ends, at '
                f"{header.duration_s:g} s."
            )
        return interval(header, start, end, self.most)

    def _named(self, arguments: Mapping[str, object], key: str, header: VideoHeader) -> list[int]:
        value = arguments.get(key)
        if not isinstance(value, list) or not value or len(value) > self.most:
            raise ToolError(f'"{key}" must be a list of 1 to {self.most} {key[:-1]} numbers.')
        numbers = [n for n in value if isinstance(n, int) and not isinstance(n, bool)]
        if len(numbers) < len(value) or not all(0 <= n < header.num_frames for n in numbers):
            raise ToolError(f"There are the {key} 0 to {header.num_frames - 1}, by whole numbers.")
        return list(dict.fromkeys(numbers))


def _view(first: ImageView, header: VideoHeader, number: int, size: Size) -> ImageView:
    source = VideoFrame(first.path, header.time_of(number))
    return replace(first, source=source, size=size, box=None)
