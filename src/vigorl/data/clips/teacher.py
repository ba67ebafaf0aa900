"""Solutions of questions about made clips and views, by a teacher who knows them and is hasty.

It finds the sign in the first frame, and asks for frames about when the line crosses it, or for the
camera that stands where the sign is. But it mostly goes by the colour alone, is off by some frames,
and seldom looks again where the frames show no sign, or another one: it answers from what it saw.
That is left to reinforcement learning.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point, Size
from vigorl.core.ranges import AtLeastOne, Count, Range, Share, check_ranges
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace, render_point
from vigorl.data.scenes.draw import STRIPES, Scene, Sign

Few = Annotated[int, Range(ge=1, le=64)]


class Footage(Protocol):
    """A scene in pictures with numbers: the first shows the whole, some show a sign close."""

    @property
    def scene(self) -> Scene: ...

    @property
    def num_frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    @property
    def side_px(self) -> int: ...

    def shown(self, number: int) -> Sign | None: ...

    def in_frame(self, sign: Sign) -> Point: ...

    def start_of(self, sign: Sign) -> int: ...

    def expected_at(self, sign: Sign) -> int: ...


@dataclass(frozen=True, kw_only=True)
class ClipTeacher:
    """How hasty the teacher is.

    Attributes:
        hasty_frac: Share of first looks that go to the leftmost sign of the right colour, whatever
            its shape.
        look_again_frac: Share of misses after which it looks again; else it answers from what it
            saw.
        error_frames: A look is off by at most so many frames, to both sides.
        frames: How many it asks for at once, one after the other.
        max_looks: At most.
        tool: Name of the tool that it calls.
        argument: Of the tool: the numbers of frames.
    Raises:
        ConfigError: A number out of its range.
    """

    hasty_frac: Share = 0.8
    look_again_frac: Share = 0.2
    error_frames: Count = 2
    frames: Few = 2
    max_looks: AtLeastOne = 3
    tool: str = "select_frames"
    argument: str = "frames"

    def __post_init__(self) -> None:
        check_ranges(self, "data.teacher")
        if not self.tool:
            raise ConfigError("data.teacher.tool must be the name of a tool that takes frames")

    def choosing_trace(self, task: TaskRecord, clip: Footage, rng: random.Random) -> TraceRecord:
        """Several turns: choose frames, say what they show, answer."""
        asked, steps, seen = clip.scene.signs[0], list[Step](), ""
        shown: Sign | None = None
        for look in range(self.max_looks):
            is_hasty = look == 0 and rng.random() < self.hasty_frac
            aimed = _leftmost_of_colour(asked, clip) if is_hasty else asked
            frames = self._frames(clip, aimed, rng, knows=look > 0)
            again = "Wait. " if look else ""
            place = render_point(_rounded(clip, aimed))
            steps.append(
                Step(
                    f"{seen}{again}The {asked.name} is at {place}.",
                    ToolCall(self.tool, {self.argument: frames}),
                )
            )
            shown = seen_in(clip, frames)
            seen = _tell(shown)
            if shown == asked or rng.random() >= self.look_again_frac:
                break
        return self._answered(task, clip, [*steps, Step(seen.strip())], shown, rng)

    def watching_trace(
        self, task: TaskRecord, clip: Footage, numbers: Sequence[int], rng: random.Random
    ) -> TraceRecord:
        """One turn, from the frames that the question shows; a guess where none is of the asked
        sign.

        Args:
            task: The question.
            clip: What it is about.
            numbers: Of the frames that are shown.
            rng: Of the guess.
        """
        asked = clip.scene.signs[0]
        shown = asked if any(clip.shown(number) == asked for number in numbers) else None
        place = render_point(_rounded(clip, asked))
        think = f"The {asked.name} is at {place}. {_tell(shown)}".strip()
        return self._answered(task, clip, [Step(think)], shown, rng)

    def _answered(
        self,
        task: TaskRecord,
        clip: Footage,
        steps: Sequence[Step],
        shown: Sign | None,
        rng: random.Random,
    ) -> TraceRecord:
        answer = shown.stripes if shown else rng.choice(STRIPES)
        frame = Size(clip.side_px, clip.side_px)
        return TraceRecord(task, Trace(tuple(steps), answer), frame=frame)

    def _frames(self, clip: Footage, aimed: Sign, rng: random.Random, *, knows: bool) -> list[int]:
        """Those it asks for: by the place of the sign, or once it `knows`, the right ones."""
        start = clip.start_of(aimed) if knows else clip.expected_at(aimed)
        off = 0 if knows else rng.randint(-self.error_frames, self.error_frames)
        first = min(max(start + off, 0), clip.num_frames - self.frames)
        return list(range(first, first + self.frames))


def seen_in(clip: Footage, frames: Sequence[int]) -> Sign | None:
    """The asked sign where one of the frames shows it close, else the first sign that one does."""
    shown = [sign for number in frames if (sign := clip.shown(number))]
    asked = clip.scene.signs[0]
    return asked if asked in shown else next(iter(shown), None)


def _rounded(clip: Footage, sign: Sign) -> Point:
    place = clip.in_frame(sign)
    return Point(round(place.x), round(place.y))


def _leftmost_of_colour(sign: Sign, clip: Footage) -> Sign:
    same = (one for one in clip.scene.signs if one.colour == sign.colour)
    return min(same, key=lambda one: one.center.x)


def _tell(shown: Sign | None) -> str:
    return (
        f"I see the {shown.name}. Its stripes are {shown.stripes}. " if shown else "I see no sign. "
    )
