"""Rewards of moments: frames that are chosen, times and boxes that thoughts name.

What is right stands in a task's tags: "span", the seconds that matter ("3.25 3.75; 6 7"), and for
boxes "keys", a second with a box in pixels of the file each ("3.5 [10, 20, 30, 40]; ...").
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.media import ImageView, VideoFrame
from vigorl.core.protocols import Progress
from vigorl.core.ranges import NotNegative, Positive, ShareAboveZero, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.annealed import annealed_width, mean_nearness
from vigorl.core.rewards.unit import UnitReward
from vigorl.core.rewards.words import tag_list, thoughts_of
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.core.scoring.boxes import intersection_over_union

# seconds as thoughts state them ("at 3.5 s", "at<t>3.5</t>s"), or those of frames that tools show
Moments = Literal["thoughts", "frames"]

_NUMBER = r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(?:</t>)?\s*s(?:ec|econds)?\b"
_TIME = re.compile(rf"(?:\bat\s*(?:<t>)?|<t>){_NUMBER}")
_BOX = r"\[[-\d.,\s]{7,60}\]"
_CLAIM = re.compile(rf"((?:(?:<box>)?{_BOX}(?:</box>)?\s*)+)at\s*(?:<t>)?{_NUMBER}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RightFramesReward(UnitReward):
    """The share of the chosen frames that lie in a span that matters; 0.0 without one, so that
    silence is not paid.

    Source: Video-CoM, arXiv:2511.23477 (a frame is right inside an annotated range), of which
        `RightStepsReward` is the half for boxes.
    """

    name: str = "right_frames"

    def __call__(self, rollout: Rollout) -> float:
        spans, times = spans_of(rollout.task, self.name), chosen_times(rollout)
        return sum(_off(time, spans) == 0 for time in times) / len(times) if times else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenIntervalReward(UnitReward):
    """The IoU of the time that the last call's frames span with the span that matters.

    Of an interval that is the answer it is `numeric.IntervalReward` (Temporal-R1); this one is of
    the look (REVISOR names its segment so, and asks for no annotation: reward=revisor).

    Attributes:
        frame_s: How long a single frame counts, in seconds; the least length of what is chosen.
    """

    frame_s: Positive = 0.25
    name: str = "chosen_interval"

    def __post_init__(self) -> None:
        check_ranges(self, f"reward.parts.{self.name}")

    def __call__(self, rollout: Rollout) -> float:
        spans = spans_of(rollout.task, self.name)
        last = next(
            (times for turn in reversed(rollout.turns) if (times := _times(turn.views))), ()
        )
        if not last:
            return 0.0
        start, end = min(last), max(last) + self.frame_s
        return max(_overlap((start, end), span) for span in spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnealedTimeReward:
    """The mean over the times of exp(-d^2 / (2 s^2)), d the seconds to the nearest span, 0 in it;
    of a task without spans, to the nearest of its key seconds.

    s falls in a line from `start_s` to `end_s`, which it has reached at `until` of the run: wide
    first, so that an untrained policy sees a slope. 0.0 without a time.

    Attributes:
        where: Which times.
        start_s: s at the start, seconds.
        end_s: s at the end, at most `start_s`.
        until: Share of the run at which s is at its end.
    Source: Open-o3 Video, arXiv:2510.20579; marinero4972/Open-o3-Video@1eb6eca,
        src/r1-v/src/open_r1/reward_func.py: 4 (1 - progress) until three quarters, then 1.
    """

    where: Moments = "thoughts"
    start_s: Positive = 4.0
    end_s: Positive = 1.0
    until: ShareAboveZero = 0.75
    name: str = "annealed_time"

    def __post_init__(self) -> None:
        check_ranges(self, f"reward.parts.{self.name}")
        if self.start_s < self.end_s:
            raise ConfigError(
                f"reward.parts.{self.name}: start_s={self.start_s:g} must be at least "
                f"end_s={self.end_s:g}"
            )

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def width_s(self, progress: Progress) -> float:
        """s, seconds."""
        return annealed_width(self.start_s, self.end_s, until=self.until, progress=progress)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        width = self.width_s(progress)
        return [self._score(rollout, width) for rollout in rollouts]

    def _score(self, rollout: Rollout, width: float) -> float:
        task = rollout.task
        moments = [(key, key) for key, _ in _keys(task, self.name)] if "keys" in task.tags else []
        spans = spans_of(task, self.name) if "span" in task.tags or not moments else moments
        times = chosen_times(rollout) if self.where == "frames" else named_times(rollout)
        if not times:
            return 0.0
        return mean_nearness([_off(time, spans) for time in times], width)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedIoUReward(UnitReward):
    """The mean over claims "[x1, y1, x2, y2] at 3.5 s" in thoughts of the best IoU of their boxes
    with one of the nearest key second, counted only where that is within `gate_s`: a fit is not
    paid at the wrong moment. 0.0 without a claim.

    Attributes:
        gate_s: Largest distance in time, to both sides; the release's is open to one, as it tests
            the difference without its absolute value.
    Source: as `AnnealedTimeReward`.
    """

    gate_s: NotNegative = 1.0
    name: str = "timed_iou"

    def __post_init__(self) -> None:
        check_ranges(self, f"reward.parts.{self.name}")

    def __call__(self, rollout: Rollout) -> float:
        keys = _keys(rollout.task, self.name)
        claims = _claims(rollout)
        return sum(self._fit(*claim, keys) for claim in claims) / len(claims) if claims else 0.0

    def _fit(self, boxes: Sequence[Box], time: float, keys: Sequence[tuple[float, Box]]) -> float:
        nearest = min((key for key, _ in keys), key=lambda key: abs(key - time))
        if abs(nearest - time) > self.gate_s:
            return 0.0
        there = [true for key, true in keys if key == nearest]
        fits = (intersection_over_union(box, true) for box in boxes for true in there)
        return max(fits, default=0.0)


def spans_of(task: TaskRecord, reward: str) -> list[tuple[float, float]]:
    """The seconds that matter, from and to, at least one pair.

    Raises:
        ValueError: The task has no tag "span", or it is no list of such pairs.
    """
    try:
        pairs = [tuple(map(float, one.split())) for one in tag_list(task, "span")]
        spans = [(start, end) for start, end in pairs if start < end]
    except ValueError:
        pairs, spans = [()], []
    if not spans or len(spans) < len(pairs):
        raise ValueError(
            f"reward {reward!r} needs the tag 'span' of task {task.id!r} as seconds 'start end; "
            f"...', got {task.tags.get('span', '')!r:.80}"
        )
    return spans


def chosen_times(rollout: Rollout) -> list[float]:
    """The seconds of the frames that tools have shown, in order; parts of frames are none."""
    return [time for turn in rollout.turns for time in _times(turn.views)]


def named_times(rollout: Rollout) -> list[float]:
    """The seconds that thoughts name, in order."""
    return [float(time) for time in _TIME.findall(thoughts_of(rollout))]


def _times(views: Sequence[ImageView]) -> list[float]:
    whole = (view.unmarked for view in views if view.box is None)
    return [source.time_s for source in whole if isinstance(source, VideoFrame)]


def _off(time: float, spans: Sequence[tuple[float, float]]) -> float:
    """How far a time is from the nearest span; its end is no longer in it."""
    return min(
        0.0 if start <= time < end else max(start - time, time - end, 1e-9) for start, end in spans
    )


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    shared = max(min(one[1], other[1]) - max(one[0], other[0]), 0.0)
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def _keys(task: TaskRecord, reward: str) -> list[tuple[float, Box]]:
    """The key seconds and their boxes, ORIGINAL frame."""
    try:
        parts = (one.partition(" ") for one in tag_list(task, "keys"))
        keys = [(float(time), Box(*map(float, json.loads(box)))) for time, _, box in parts]
    except (ValueError, TypeError):
        keys = []
    if not keys:
        raise ValueError(
            f"reward {reward!r} needs the tag 'keys' of task {task.id!r} as '3.5 [x1, y1, x2, y2]; "
            f"...', got {task.tags.get('keys', '')!r:.80}"
        )
    return keys


def _claims(rollout: Rollout) -> list[tuple[list[Box], float]]:
    """Boxes, ORIGINAL frame, with the second they are claimed for; what is no box is none."""
    first = rollout.prompt_views[0]
    return [
        ([box for one in re.findall(_BOX, text) if (box := _box(one, first))], float(time))
        for text, time in _CLAIM.findall(thoughts_of(rollout))
    ]


def _box(text: str, view: ImageView) -> Box | None:
    try:
        return view.box_to_original(Box(*map(float, json.loads(text))))
    except (ValueError, TypeError):
        return None
