import pickle

import pytest

from tests.builders import answer_turn, looks_at, refused_turn, rollout, turn, view, zoom_turn
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box, Point
from vigorl.core.media import Dot, Region, VideoFrame
from vigorl.core.rollout import StopReason, TrainingSample, Turn


def two_turns():
    first = zoom_turn(completion_ids=(10, 11), sampling_logprobs=(-0.1, -0.2))
    last = answer_turn(prefix_ids=(20, 21), completion_ids=(22,), sampling_logprobs=(-0.3,))
    return rollout(first, last)


def test_ids_mask_and_logprobs_line_up():
    one = two_turns()
    # three of the prompt, two sampled, three of the observation, two of the prefix, one sampled
    assert one.token_ids == (1, 2, 3, 10, 11, 7, 8, 9, 20, 21, 22)
    assert one.loss_mask == (0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1)
    assert one.sampling_logprobs == (0, 0, 0, -0.1, -0.2, 0, 0, 0, 0, 0, -0.3)


def test_views_and_points_in_order():
    one = rollout(zoom_turn(), refused_turn(), zoom_turn(90, 90), answer_turn())
    assert tuple(look.point for look in one.looks) == (Point(200, 80), Point(360, 360))
    assert len(one.crops) == 2
    assert one.views == (*one.prompt_views, *one.crops)
    assert one.num_tool_errors == 1
    assert one.answer == "red"


def test_answer_is_none_without_one():
    assert rollout(turn("no tags")).answer is None


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 completion tokens but 1"):
        Turn(completion_ids=(1, 2), sampling_logprobs=(-0.1,), text="")
    with pytest.raises(ValueError, match="2 tokens but 1 mask"):
        TrainingSample(token_ids=(1, 2), loss_mask=(1,), views=())
    with pytest.raises(ValueError, match="2 tokens but 1 sampling"):
        TrainingSample(token_ids=(1, 2), loss_mask=(1, 1), views=(), sampling_logprobs=(-0.1,))


def test_only_limits_truncate():
    truncated = {reason for reason in StopReason if reason.is_truncated}
    assert truncated == {StopReason.TURN_LENGTH, StopReason.TOKEN_BUDGET, StopReason.TURN_LIMIT}


def test_data_error_names_the_line_also_after_a_worker_sent_it():
    error = DataError("no answer", path="a.jsonl", line=3)
    assert str(error) == "a.jsonl:3: no answer"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(DataError("empty", path="a.jsonl")) == "a.jsonl: empty"
    assert issubclass(ConfigError, ValueError)


def test_a_look_is_at_the_first_picture_or_has_no_place_on_it():
    one = looks_at(0, 1, 2)
    assert [look.point for look in one.looks_at_first] == [Point(200, 80)]
    crop = view(box=Box(144, 24, 256, 136))
    marked = view().edited(Dot(Point(1, 1)))
    scene = (view(), crop, marked, view(source=VideoFrame("disc.png", 1.0)))
    places = [Region(Point(200, 80), picture=i).on_first(scene) for i in range(4)]
    assert places == [Region(Point(200, 80)), Region(Point(200, 80)), Region(Point(200, 80)), None]
