"""Moments that are chosen or named, scored by hand: what matters is 3 to 4 s."""

import math
from dataclasses import replace

import pytest

from tests.builders import ORIGINAL, answer_turn, rollout, task, turn
from vigorl.core.errors import ConfigError
from vigorl.core.media import ImageView, VideoFrame
from vigorl.core.protocols import Progress
from vigorl.core.rewards.video import (
    AnnealedTimeReward,
    ChosenIntervalReward,
    RightFramesReward,
    TimedIoUReward,
)
from vigorl.core.rollout import Rollout

TAGS = {"span": "3 4", "keys": "3.5 [0, 0, 200, 200]; 3.5 [300, 300, 400, 400]; 9 [0, 0, 40, 40]"}


def chose(*calls: tuple[float, ...], think: str = "Here.", span: str = "3 4") -> Rollout:
    """Frames at these seconds, a call each, and an answer."""
    turns = [
        turn(
            "<think> a </think>",
            views=tuple(ImageView(VideoFrame("a.mp4", time), ORIGINAL, ORIGINAL) for time in call),
        )
        for call in calls
    ]
    return rollout(*turns, answer_turn("red", think=think), task=task(tags=TAGS | {"span": span}))


@pytest.mark.parametrize(
    ("calls", "share"), [((), 0.0), (((3.0, 3.9),), 1.0), (((1.0,), (3.0, 4.0)), 1 / 3)]
)
def test_right_frames_are_a_share_of_the_chosen(calls: tuple[tuple[float, ...], ...], share: float):
    assert RightFramesReward()(chose(*calls)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("calls", "iou"),
    [
        ((), 0.0),
        (((3.0, 3.75),), 1.0),  # 3 to 3.75 + 0.25
        (((3.0, 3.75), (2.0, 3.25)), 0.5 / 2),  # the last: 2 to 3.5
        (((8.0,),), 0.0),
    ],
)
def test_the_last_look_spans_an_interval(calls: tuple[tuple[float, ...], ...], iou: float) -> None:
    assert ChosenIntervalReward()(chose(*calls)) == pytest.approx(iou)


def test_times_are_paid_by_a_width_that_narrows() -> None:
    reward, said = AnnealedTimeReward(), chose(think="It is at 3.2 s, to <t>6</t>s.")
    for done, width in ((0, 4.0), (3, 2.8), (8, 1.0), (10, 1.0)):  # 4 - 3 * 0.3 / 0.75 = 2.8
        progress = Progress(done, 10)
        assert reward.width_s(progress) == pytest.approx(width)
        (score,) = reward.score_group([said], [], progress=progress)
        assert score == pytest.approx((1 + math.exp(-((2 / width) ** 2) / 2)) / 2)
    assert reward.score_group([chose((3.5,))], [], progress=Progress(0, 1)) == [0.0]
    of_frames = AnnealedTimeReward(where="frames")
    assert of_frames.score_group([chose((3.5,))], [], progress=Progress(0, 1)) == [1.0]


@pytest.mark.parametrize(
    ("think", "fit"),
    [
        ("Nothing.", 0.0),
        ("[0, 0, 50, 50] at 3.5 s", 1.0),  # a pixel as the policy sees it is four of the file
        ("<box>[75, 75, 100, 100]</box>at<t>4.5</t>s", 1.0),  # the best of the second's boxes
        ("<box>[90, 0, 99, 9]</box><box>[0, 0, 50, 50]</box>at<t>3</t>s", 1.0),  # the best of two
        ("[0, 0, 50, 25] at 2.6 s", 0.5),
        ("[0, 0, 50, 50] at 2.4 s", 0.0),  # 1.1 s before
        ("[0, 0, 50, 50] at 4.6 s", 0.0),  # 1.1 s behind
        ("[0, 0, 50, 50] at 3.5 s, [1, 2, 3] at 3.5 s", 0.5),
    ],
)
def test_boxes_are_paid_near_their_moment(think: str, fit: float) -> None:
    assert TimedIoUReward()(chose(think=think)) == pytest.approx(fit)


def test_without_spans_times_are_measured_from_key_seconds() -> None:
    said = chose(think="at 4.5 s")
    only = replace(said, task=task(tags={"keys": TAGS["keys"]}))
    (score,) = AnnealedTimeReward().score_group([only], [], progress=Progress(1, 1))
    assert score == pytest.approx(math.exp(-0.5))  # 1 s from 3.5 s, s = 1


@pytest.mark.parametrize("span", ["", "4 3", "3", "a b", "3 4; 5"])
def test_a_task_without_the_seconds_that_matter_is_named(span: str) -> None:
    with pytest.raises(ValueError, match="'span' of task 'disc'"):
        RightFramesReward()(chose((3.0,), span=span))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="at least end_s"):
        AnnealedTimeReward(start_s=1.0, end_s=2.0)
