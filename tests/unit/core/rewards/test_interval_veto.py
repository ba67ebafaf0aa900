"""Intervals of a video that break FrameThinker's rules."""

from __future__ import annotations

import pytest

from tests.builders import ORIGINAL, answer_turn, rollout, turn
from vigorl.core.errors import ConfigError
from vigorl.core.media import ImageView, VideoFrame
from vigorl.core.rewards.interval_veto import IntervalVeto
from vigorl.core.rollout import StopReason, Turn
from vigorl.core.trace import ToolCall, render_tool_turn

SHOWN = tuple(
    ImageView(VideoFrame("a.mp4", time), ORIGINAL, ORIGINAL) for time in (0.0, 30.0, 60.0)
)


def chose(start: float, end: float, think: str = "") -> Turn:
    call = ToolCall("select_frames", {"start": start, "end": end})
    return turn(render_tool_turn(think or f"Perhaps at 12:30, from {start} to {end}.", call))


@pytest.mark.parametrize(
    ("turns", "holds"),
    [
        ((), True),
        ((chose(2, 4.5), chose(20, 25)), True),
        ((chose(2, 4.5), chose(2, 4.5)), False),  # twice
        ((chose(2, 4.5), chose(2.04, 4.46)), False),  # nearly
        ((chose(0, 60),), False),  # that the question has shown
        ((chose(2, 2.25),), False),  # shorter than the frames of a call
        ((chose(2, 4, think="From 2 to 5."),), False),
        ((chose(2, 4, think="First 9, then 2 to 4."),), True),
        ((chose(2, 4, think="Somewhere."),), False),
        ((chose(2, 10**400),), False),
        ((turn("<think> No call. </think>"),), False),
    ],
)
def test_a_rule_that_is_broken_takes_the_total(turns: tuple[Turn, ...], holds: bool) -> None:
    said = rollout(*turns, answer_turn(), prompt_views=SHOWN)
    assert IntervalVeto().holds(said) is holds
    assert IntervalVeto().changed(said, 0.7) == (0.7 if holds else 0.0)


def test_a_limit_breaks_it_and_ranges_are_said() -> None:
    cut = rollout(answer_turn(), stop_reason=StopReason.TURN_LIMIT)
    assert not IntervalVeto().holds(cut)
    with pytest.raises(ConfigError, match=r"reward\.parts\.interval_veto\.same_s must be"):
        IntervalVeto(same_s=-1)
