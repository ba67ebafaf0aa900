"""What the official reward functions pay, and what they let pass.

Source: Gabesarch/grounded-rl@e7970c0, src/trainer/rl/examples/reward_function/. Running them on CPU
gave: right with 0, 1, 2, 3, 4 distinct zooms 1.00, 1.00, 1.08, 1.16, 1.24; wrong with 4 zooms 0.64;
a truth with a capital scores accuracy 0 in a single turn; any tool name, [-5, 99999] and a call
body that is not {...} pass. The other numbers follow from the formulas beside them.
"""

import pytest

from tests.builders import (
    answer_turn,
    call_text,
    refused_turn,
    rollout,
    task,
    turn,
    view,
    zoom_turn,
)
from vigorl.core.geometry import Box
from vigorl.core.rewards import grounded_zoom_reward, vigorl_paper, vigorl_released
from vigorl.core.rollout import StopReason
from vigorl.core.scoring import ActionMatch, PointInBox
from vigorl.core.trace import observation_text

PLACES = [(5, 5), (100, 5), (5, 100), (100, 100), (50, 50), (50, 5)]


def zooms(count: int, answer: str):
    return rollout(*(zoom_turn(x, y) for x, y in PLACES[:count]), answer_turn(answer))


@pytest.mark.parametrize(
    ("num_zooms", "right", "wrong"),
    [
        (0, 1.00, 0.40),  # 0.6 accuracy + 0.4 * (1 + 0.2 * max(k - 1, 0))
        (1, 1.00, 0.40),
        (2, 1.08, 0.48),
        (3, 1.16, 0.56),
        (4, 1.24, 0.64),
        (6, 1.40, 0.80),  # 0.6 + 0.4 * (1 + 0.2 * 5): there is no cap
    ],
)
def test_released_multi_turn(num_zooms, right, wrong):
    reward = vigorl_released(multi_turn=True)
    assert reward(zooms(num_zooms, "red")) == pytest.approx(right, abs=1e-12)
    assert reward(zooms(num_zooms, "blue")) == pytest.approx(wrong, abs=1e-12)


@pytest.mark.parametrize(
    ("num_zooms", "right", "wrong"),
    [(0, 1.00, 0.40), (1, 1.08, 0.48), (4, 1.32, 0.72), (6, 1.32, 0.72)],  # + 0.08 each, at most 4
)
def test_paper_multi_turn(num_zooms, right, wrong):
    reward = vigorl_paper()
    assert reward.range == pytest.approx((0.0, 1.32))
    assert reward(zooms(num_zooms, "red")) == pytest.approx(right, abs=1e-12)
    assert reward(zooms(num_zooms, "blue")) == pytest.approx(wrong, abs=1e-12)


def test_busy_and_wrong_beats_plain_and_right_only_in_the_reproductions():
    busy_and_wrong = zooms(4, "blue")
    plain_and_right = rollout(answer_turn("red", think=""), turn("<answer> red </answer>"))
    released, paper = vigorl_released(multi_turn=True), vigorl_paper()
    assert released(busy_and_wrong) > released(plain_and_right) == pytest.approx(0.6)
    assert paper(busy_and_wrong) > paper(plain_and_right) == pytest.approx(0.6)
    ours = grounded_zoom_reward()
    assert ours(busy_and_wrong) < ours(plain_and_right)


def called(body: str):
    """One turn with this tool call body, then the right answer."""
    text = f"<think> a </think>\n<tool_call>\n{body}\n</tool_call>"
    return rollout(
        turn(text, observation=observation_text(("Here is the crop:\n", view()))), answer_turn()
    )


@pytest.mark.parametrize(
    ("body", "released", "paper"),
    [
        ('{"name": "nonsense", "arguments": {"coordinate": [-5, 99999]}}', 1.0, 0.6),
        ("hello", 1.0, 0.6),  # not {...}, so the released regex never sees it
        ('{"name": "search_coordinate"', 1.0, 0.6),  # nor this
        ('{"name": "search_coordinate"}', 0.6, 0.6),
        ("{not json}", 0.6, 0.6),
        ('{"arguments": {"coordinate": [1.5, 2]}}', 0.6, 0.6),
        ('{"arguments": {"coordinate": [1, 2, 3]}}', 0.6, 0.6),
        ('{"arguments": [1, 2]}', 0.6, 0.6),
        ('{"arguments": {"coordinate": [' + "9" * 400 + ", 2]}}", 1.0, 0.6),  # no bound at all
        ('{"arguments": {"coordinate": [' + "9" * 5000 + ", 2]}}", 0.6, 0.6),
    ],
)
def test_tool_calls_the_released_walk_lets_pass(body, released, paper):
    assert vigorl_released(multi_turn=True)(called(body)) == pytest.approx(released)
    assert vigorl_paper()(called(body)) == pytest.approx(paper)


def test_released_distance_is_measured_as_written():
    reward = vigorl_released(multi_turn=True)
    nine_apart = rollout(zoom_turn(50, 20), zoom_turn(59, 20), answer_turn())
    ten_apart = rollout(zoom_turn(50, 20), zoom_turn(60, 20), answer_turn())
    assert reward(nine_apart) == pytest.approx(1.00)
    assert reward(ten_apart) == pytest.approx(1.08)


@pytest.mark.parametrize(
    "broken",
    [
        rollout(zoom_turn(), turn(call_text(9, 9)), stop_reason=StopReason.TURN_LIMIT),
        rollout(turn(call_text(9, 9)), answer_turn("blue")),  # no observation between the turns
        rollout(turn("<answer> blue </answer>")),
        rollout(answer_turn("blue"), answer_turn("blue")),
        rollout(turn("<think> a </think>\n<answer> blue </answer> bye")),
        rollout(turn("<think> a </think>\n<answer>  </answer>")),
    ],
)
def test_released_walk_refuses(broken):
    assert vigorl_released(multi_turn=True)(broken) == 0.0


def test_refused_calls_pass_the_released_walk():
    assert vigorl_released(multi_turn=True)(rollout(refused_turn(), answer_turn())) == 1.0


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        ("red", "red", 1.0),
        ("A. Red", "red", 1.0),
        ("a) red", "red", 1.0),
        ("blue", "red", 0.5),
        ("Chair was moved", "Chair was moved", 0.5),  # only the prediction is lowered
        ("", "red", 0.0),
    ],
)
def test_released_single_turn_text(answer, truth, score):
    one = rollout(answer_turn(answer), task=task(answer=truth, options=()))
    assert vigorl_released(multi_turn=False)(one) == score


def test_released_multi_turn_lowers_both_sides():
    moved = task(answer="Chair was moved", options=())
    one = rollout(answer_turn("Chair was moved"), task=moved)
    assert vigorl_released(multi_turn=True)(one) == pytest.approx(1.0)


def test_released_single_turn_needs_one_point_anywhere_in_the_thought():
    off_picture = rollout(answer_turn(think="At (9999, 9999)."))
    vague = rollout(answer_turn(think="It is red."))
    assert vigorl_released(multi_turn=False)(off_picture) == 1.0
    assert vigorl_released(multi_turn=False)(vague) == 0.5
    assert vigorl_released(multi_turn=False, require_points=False)(vague) == 1.0
    assert vigorl_paper(multi_turn=False)(off_picture) == 0.5  # the paper wants valid coordinates
    assert vigorl_paper(multi_turn=False)(rollout(answer_turn())) == 1.0


@pytest.mark.parametrize(
    ("answer", "score"), [("(50, 20)", 1.0), ("(1, 1)", 0.5), ("the disc", 0.0)]
)
def test_released_web_grounding(answer, score):
    where = task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())
    one = rollout(answer_turn(answer), task=where)
    assert vigorl_released(multi_turn=False)(one) == score


def test_released_web_action():
    click = task(scorer=ActionMatch(), answer="click [12]", options=())
    half_right = rollout(answer_turn("click [3]"), task=click)
    assert vigorl_released(multi_turn=False)(half_right) == 0.75  # 0.5 * 0.5 + 0.5
