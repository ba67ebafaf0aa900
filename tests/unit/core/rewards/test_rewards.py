"""Each reward on rollouts small enough to score by hand."""

from dataclasses import replace

import pytest

from tests.builders import (
    answer_turn,
    call_text,
    looks_at,
    refused_turn,
    rollout,
    task,
    turn,
    view,
    zoom_turn,
)
from vigorl.core.geometry import Box, Point
from vigorl.core.media import FileImage, Fill
from vigorl.core.rewards import (
    AccuracyReward,
    ConsistencyVeto,
    FormatReward,
    GroundingReward,
    ZoomDiversityReward,
)
from vigorl.core.rewards.recipes import vigorl_paper
from vigorl.core.rewards.zoom import count_distinct, is_zoom_hit, zoom_hits
from vigorl.core.rollout import StopReason
from vigorl.core.scoring import PointInBox


def test_accuracy():
    assert AccuracyReward()(rollout()) == 1.0
    assert AccuracyReward()(rollout(answer_turn("blue"))) == 0.0
    assert AccuracyReward()(rollout(zoom_turn(), stop_reason=StopReason.TURN_LIMIT)) == 0.0


def test_accuracy_reads_a_point_in_the_frame_of_the_first_picture():
    where = task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())
    assert AccuracyReward()(rollout(answer_turn("(50, 20)"), task=where)) == 1.0
    assert AccuracyReward()(rollout(answer_turn("(200, 80)"), task=where)) == 0.0


@pytest.mark.parametrize(
    "good",
    [
        rollout(),
        rollout(answer_turn()),
        rollout(answer_turn("blue")),  # format does not ask whether the answer is right
        rollout(zoom_turn(), zoom_turn(9, 9), answer_turn(think="No point in the last thought.")),
    ],
)
def test_format_holds(good):
    assert FormatReward()(good) == 1.0


@pytest.mark.parametrize(
    "bad",
    [
        rollout(turn("red")),
        rollout(zoom_turn(), stop_reason=StopReason.TURN_LIMIT),
        rollout(answer_turn(), stop_reason=StopReason.TURN_LENGTH),
        rollout(answer_turn(think="No point.")),
        rollout(zoom_turn(think="No point."), answer_turn()),
        rollout(answer_turn(think="At (112, 20).")),  # 112 is one past the last column
        rollout(zoom_turn(), answer_turn(think="At (-1, 20).")),
        rollout(refused_turn(), answer_turn()),
        rollout(answer_turn(""), stop_reason=StopReason.ANSWERED),
        rollout(turn(call_text(50, 20) + "<answer> red </answer>")),
    ],
)
def test_format_fails(bad):
    assert FormatReward()(bad) == 0.0


def test_format_options():
    ungrounded = rollout(zoom_turn(think="Look."), answer_turn(think="Done."))
    assert FormatReward(require_points=False)(ungrounded) == 1.0
    refused = rollout(refused_turn(), answer_turn())
    assert FormatReward(require_tools_work=False)(refused) == 1.0


def test_format_wants_a_point_for_a_point_question():
    where = task(scorer=PointInBox(Box(0, 0, 9, 9)), options=())
    for answer, value in [("(111, 111)", 1.0), ("(112, 111)", 0.0), ("the disc", 0.0)]:
        assert FormatReward()(rollout(answer_turn(answer), task=where)) == value


def test_grounding_counts_turns_before_the_answer():
    looks = (zoom_turn(), zoom_turn(think="Hm."), zoom_turn(9, 9), zoom_turn(think="(500, 1)"))
    assert GroundingReward()(rollout(*looks, answer_turn(think="Done."))) == 2 / 4


def test_grounding_counts_sentences_of_a_single_turn():
    think = "A disc at (50, 20). It is round. Its rim, (55, 20), is red! Red?"
    assert GroundingReward()(rollout(answer_turn(think=think))) == 2 / 4
    assert GroundingReward()(rollout(turn("red"))) == 0.0


def test_count_distinct_compares_with_counted_points_only():
    line = [Point(0, 0), Point(6, 0), Point(10, 0), Point(15, 0), Point(20, 0)]
    assert count_distinct(line, min_distance_px=10) == 3  # 0, 10, 20
    assert count_distinct([], min_distance_px=10) == 0


def zooms(*points: tuple[int, int], answer: str = "red"):
    return rollout(*(zoom_turn(x, y) for x, y in points), answer_turn(answer))


def test_diversity_pays_distinct_places_up_to_a_cap():
    reward = ZoomDiversityReward()
    assert reward.range == (0.0, 0.8)
    assert reward(zooms()) == 0.0
    assert reward(zooms((50, 20))) == 0.2
    assert reward(zooms((50, 20), (50, 20))) == 0.2
    assert reward(zooms((50, 20), (90, 20))) == 0.4
    corners = [(5, 5), (100, 5), (5, 100), (100, 100), (50, 50)]
    assert reward(zooms(*corners)) == 0.8  # 5 places, 4 paid


def test_diversity_pays_right_answers_only():
    assert ZoomDiversityReward()(zooms((50, 20), (90, 20), answer="blue")) == 0.0
    paid_anyway = ZoomDiversityReward(only_if_correct=False)
    assert paid_anyway(zooms((50, 20), (90, 20), answer="blue")) == 0.4


def test_diversity_measures_in_the_pixels_it_is_told():
    near = zooms((50, 20), (53, 20))  # 3 px apart as shown, 12 px in the file
    assert ZoomDiversityReward(in_file_pixels=True)(near) == 0.4
    assert ZoomDiversityReward()(near) == 0.2
    far = zooms((50, 20), (70, 20))
    assert vigorl_paper().breakdown(near).total < vigorl_paper().breakdown(far).total


def test_diversity_free_points_pay_like_the_released_code():
    reward = ZoomDiversityReward(free_points=1)
    assert reward(zooms((50, 20))) == 0.0
    assert reward(zooms((50, 20), (90, 20))) == 0.2


@pytest.mark.parametrize("bad", [{"bonus": -0.1}, {"max_points": 0}, {"free_points": -1}])
def test_diversity_refuses_senseless_settings(bad):
    with pytest.raises(ValueError, match=r"need|frame"):
        ZoomDiversityReward(**bad)


def test_zoom_hits():
    disc = (Box(190, 70, 210, 90),)
    half = view(box=Box(195, 0, 295, 100))  # holds the centre (200, 80), cuts the left edge
    assert is_zoom_hit(half, disc, first=view())
    assert not is_zoom_hit(half, disc, first=view(), whole=True)
    assert is_zoom_hit(view(box=Box(144, 24, 256, 136)), disc, first=view(), whole=True)
    assert not is_zoom_hit(view(), disc, first=view())  # the whole picture is no zoom
    # (50, 20) -> window 144..256 x 24..136; (90, 90) -> window 304..416 x 304..416
    assert zoom_hits(zooms((90, 90), (50, 20))) == [False, True]
    assert zoom_hits(rollout(task=task(targets=()))) == [False]


def test_a_zoom_into_another_picture_hits_nothing():
    window = Box(144, 24, 256, 136)  # holds the disc, in the first picture
    second = replace(view(box=window), source=FileImage("other.png"))
    blind = view(box=window).edited(Fill())
    both = rollout(zoom_turn(views=(second,)), zoom_turn(views=(blind,)), answer_turn())
    assert zoom_hits(both) == [False, True]


def test_what_the_scorer_wants_hit_is_a_target_too():
    scorer = PointInBox(Box(190, 70, 210, 90))
    assert zoom_hits(rollout(task=task(targets=(), options=(), scorer=scorer))) == [True]


@pytest.mark.parametrize(
    ("pictures", "places"),
    [
        ((0, 0), 1),
        ((0, 1), 2),  # the same place on another picture is another place
        ((0, 2), 1),  # a turned picture may show the same again
        ((1, 1), 1),
    ],
)
def test_distinct_places_are_counted_picture_by_picture(pictures, places):
    assert ZoomDiversityReward()(looks_at(*pictures)) == pytest.approx(0.2 * places)
    assert ConsistencyVeto().holds(looks_at(*pictures)) == (len(set(pictures)) == 2)
