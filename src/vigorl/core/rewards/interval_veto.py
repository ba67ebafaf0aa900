"""FrameThinker's rules on intervals of a video: a total of 0 where one is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vigorl.core.media import VideoFrame
from vigorl.core.ranges import NotNegative, Positive, check_ranges
from vigorl.core.rewards.gate import Veto
from vigorl.core.rollout import Rollout, Turn

_NUMBER = re.compile(r"(?<![\d.:])\d{1,6}(?:\.\d{1,3})?(?![\d:])")  # no part of a clock's 12:30


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalVeto(Veto):
    """A total of 0 where the chosen intervals break a rule. Of a rollout it asks:

    - each turn thinks, and acts: a call, or the answer at the end
    - the last two numbers of a thought are those of the interval that its call names
    - no interval is chosen twice, nor the one whose frames the question shows
    - each is longer than `min_length_s`

    Calls without "start" and "end" pass (`select_frames` with by=interval has them). The paper's
    rule on the frame that was looked up by its time has no counterpart: intervals are named in
    seconds.

    Order: as of `ConsistencyVeto`.

    Attributes:
        min_length_s: There as long as the frames that a call shows, 8 of a video's about 30 a
            second.
        same_s: Intervals whose ends differ by at most so much are one; there a frame.
    Source: arXiv:2509.24304, section 3; lcqysl/FrameThinker-RL 3c917f3,
        `think_with_video_reward.py`.
    """

    max_total: Positive = 1.0
    min_length_s: NotNegative = 0.27
    same_s: NotNegative = 0.05

    def __post_init__(self) -> None:
        check_ranges(self, f"reward.parts.{self.name}")

    @property
    def name(self) -> str:
        return "interval_veto"

    def allows(self, rollout: Rollout) -> bool:
        """Whether each interval is new, long enough, and said."""
        seen = list(_shown(rollout))
        for turn in rollout.turns:
            for interval in _intervals(turn):
                if interval[1] - interval[0] <= self.min_length_s:
                    return False
                if any(self._are_one(interval, other) for other in seen):
                    return False
                if _said(turn) != interval:
                    return False
                seen.append(interval)
        return True

    def _are_one(self, one: tuple[float, float], other: tuple[float, float]) -> bool:
        return all(abs(a - b) <= self.same_s for a, b in zip(one, other, strict=True))


def _shown(rollout: Rollout) -> Iterator[tuple[float, float]]:
    """The seconds that the question's frames span, if there are several."""
    sources = [view.unmarked for view in rollout.prompt_views]
    times = [one.time_s for one in sources if isinstance(one, VideoFrame)]
    if len(times) > 1:
        yield min(times), max(times)


def _intervals(turn: Turn) -> Iterator[tuple[float, float]]:
    for call in turn.parsed.tool_calls:
        start, end = call.arguments.get("start"), call.arguments.get("end")
        if isinstance(start, int | float) and isinstance(end, int | float):
            yield _seconds(start), _seconds(end)


def _seconds(number: float) -> float:
    """As a float, which an integer of a thousand digits cannot be."""
    return float(max(min(number, 1e9), -1e9))


def _said(turn: Turn) -> tuple[float, ...]:
    """The last two numbers of a thought."""
    return tuple(map(float, _NUMBER.findall(turn.parsed.think)[-2:]))
