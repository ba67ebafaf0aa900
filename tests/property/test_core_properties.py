"""Promises of core/ that hold for every input, not only for the ones we thought of."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.builders import answer_turn, refused_turn, rollout, scored, task, turn, zoom_turn
from vigorl.core.advantages import Normalization, group_advantages, token_weights
from vigorl.core.geometry import Box, FrameMap, Point, Size, box_window, zoom_window
from vigorl.core.metrics import (
    means,
    metric_sums,
)
from vigorl.core.rewards import (
    AccuracyReward,
    FormatReward,
    GroundingReward,
    WeightedReward,
    ZoomDiversityReward,
    grounded_zoom_reward,
    single_turn_reward,
    vigorl_paper,
    vigorl_released,
)
from vigorl.core.rewards.composite import checked_score
from vigorl.core.rollout import StopReason
from vigorl.core.scoring import ActionMatch, PointInBox
from vigorl.core.trace import Step, ToolCall, Trace, _split_blocks, parse_trace, parse_turn

# A small alphabet of what could confuse the grammar; "<" would make tags, which no thought holds.
TRICKY = 'ab (1,2)>/.!?&{}[]"\\\n\té赤'
prose = st.text(TRICKY, max_size=30).map(str.strip)
numbers = st.integers(-(10**6), 10**6)
calls = st.builds(
    ToolCall,
    name=st.text(TRICKY, max_size=8),
    arguments=st.dictionaries(
        st.sampled_from(["coordinate", "box", "label"]),
        st.lists(numbers, max_size=4) | st.booleans() | prose,
    ),
)
sizes = st.builds(Size, st.integers(1, 3000), st.integers(1, 3000))


@st.composite
def traces(draw):
    looks = draw(st.lists(st.builds(Step, prose, calls), max_size=4))
    return Trace((*looks, Step(draw(prose))), draw(prose.filter(bool)))


@given(traces())
def test_what_is_rendered_is_read_back(trace):
    assert parse_trace(trace.turns()) == trace


TAG_NAMES = ("think", "tool_call", "answer", "observation")
TAGS = [f"<{end}{name}>" for name in TAG_NAMES for end in ("", "/")]
tag_soup = st.lists(
    st.sampled_from([*TAGS, '{"name": "z", "arguments": {}}', "(5, 9)", "red", "{", " "]),
    max_size=12,
).map("".join)


@given(tag_soup)
def test_parsing_never_raises_and_a_clean_turn_has_one_action(text):
    parsed = parse_turn(text)
    if parsed.problem is None:
        assert (parsed.tool_call is None) != (parsed.answer is None)


@given(sizes, st.integers(1, 600), st.data())
def test_zoom_window_is_inside_and_keeps_its_size(image, side_px, data):
    x = data.draw(st.floats(0, image.width, exclude_max=True))
    y = data.draw(st.floats(0, image.height, exclude_max=True))
    window = zoom_window(Point(x, y), image=image, side_px=side_px)
    assert window.is_inside(image)
    assert window.right - window.left == min(side_px, image.width)
    assert window.bottom - window.top == min(side_px, image.height)
    assert window.contains(Point(math.floor(x), math.floor(y)))


@given(sizes, st.integers(1, 100), st.data())
def test_box_window_is_inside_and_large_enough(image, min_side_px, data):
    left, top = (data.draw(st.floats(0, end - 0.5)) for end in (image.width, image.height))
    right = data.draw(st.floats(left + 0.25, image.width))
    bottom = data.draw(st.floats(top + 0.25, image.height))
    window = box_window(Box(left, top, right, bottom), image=image, min_side_px=min_side_px)
    assert window.is_inside(image)
    assert window.right - window.left >= min(min_side_px, image.width, right - left)


@given(sizes, sizes, st.floats(0, 1), st.floats(0, 1))
def test_frame_map_inverts(source, target, x, y):
    point = Point(x * source.width, y * source.height)
    back = FrameMap(target, source).point(FrameMap(source, target).point(point))
    assert (back.x, back.y) == pytest.approx((point.x, point.y))


@given(sizes, sizes, numbers, numbers)
def test_pixel_is_on_the_target(source, target, x, y):
    assert FrameMap(source, target).pixel(Point(x, y)).is_inside(target)


rewards_of_a_group = st.lists(st.floats(-10, 10), min_size=2, max_size=16)


@given(rewards_of_a_group, st.booleans())
def test_advantages_sum_to_zero_and_keep_the_order(rewards, scale_by_std):
    advantages = group_advantages(rewards, scale_by_std=scale_by_std)
    assert sum(advantages) == pytest.approx(0, abs=1e-6)
    ranked = [advantage for _, advantage in sorted(zip(rewards, advantages, strict=True))]
    assert ranked == sorted(ranked)


@given(
    st.lists(st.lists(st.floats(-5, 5), max_size=6), min_size=1, max_size=8),
    st.sampled_from(Normalization),
    st.data(),
)
def test_no_cut_into_micro_batches_changes_the_loss(losses, normalization, data):
    """Weights belong to the whole batch: the loss is the textbook mean however it is cut."""
    assume(any(losses))
    counts = [len(sequence) for sequence in losses]
    groups = [str(i // 2) for i in range(len(losses))]
    weights = token_weights(counts, normalization=normalization, constant_length=7, groups=groups)
    cut = data.draw(st.integers(0, len(losses)))
    weighted = [w * sum(sequence) for w, sequence in zip(weights, losses, strict=True)]
    in_two = sum(weighted[:cut]) + sum(weighted[cut:])
    pairs = (losses[i : i + 2] for i in range(0, len(losses), 2))
    prompts = [[loss for one in pair for loss in one] for pair in pairs]
    textbook = {
        Normalization.TOKEN_MEAN: sum(map(sum, losses)) / sum(counts),
        Normalization.SEQUENCE_MEAN: sum(sum(s) / len(s) for s in losses if s) / len(losses),
        Normalization.CONSTANT_LENGTH: sum(map(sum, losses)) / 7 / len(losses),
        Normalization.SEQUENCE_SUM: sum(map(sum, losses)) / len(losses),
        Normalization.TOKEN_SUM: sum(map(sum, losses)),
        Normalization.PROMPT_MEAN: sum(sum(one) / len(one) for one in prompts if one)
        / len(prompts),
    }
    assert in_two == pytest.approx(textbook[normalization], abs=1e-9)


coordinates = st.integers(-20, 130)
on_picture = st.integers(0, 111)
tool_turns = st.one_of(
    st.builds(zoom_turn, on_picture, on_picture),
    st.builds(zoom_turn, on_picture, on_picture, think=prose),
    st.builds(refused_turn, coordinates, coordinates),
)
texts = st.sampled_from(["red", "A", "A. Red", "blue", "B", "red or blue", "not red", "(50, 20)"])
actions = st.sampled_from(["click [12]", "click [3]", "type [12] [x]", "go_back", "red"])
kinds = {
    "text": (task(), texts),
    "point": (
        task(scorer=PointInBox(Box(190, 70, 210, 90)), options=()),
        st.sampled_from(["(50, 20)", "(9, 9)", "(500, 1)", "red"]),
    ),
    "action": (
        task(scorer=ActionMatch(compare_typed_text=True), answer="click [12]", options=()),
        actions,
    ),
}


@st.composite
def rollouts(draw, kind: str | None = None):
    question, answers = kinds[kind or draw(st.sampled_from(list(kinds)))]
    point = st.builds("At ({}, {}).".format, coordinates, coordinates)
    last = draw(
        st.one_of(
            st.builds(answer_turn, answers, think=point | prose),
            st.builds(turn, tag_soup),
            answers.map(lambda answer: turn(f"<answer> {answer} </answer>")),
        )
    )
    reason = draw(st.sampled_from(StopReason)) if draw(st.booleans()) else StopReason.ANSWERED
    looks = draw(st.lists(tool_turns, max_size=6))
    return rollout(*looks, last, task=question, stop_reason=reason)


def is_right(one):
    return one.score == 1.0


EVERY_REWARD = [
    AccuracyReward(),
    AccuracyReward(),
    FormatReward(),
    FormatReward(require_points=False, require_tools_work=False),
    GroundingReward(),
    ZoomDiversityReward(),
    ZoomDiversityReward(only_if_correct=False, free_points=1),
    grounded_zoom_reward(),
    single_turn_reward(),
    vigorl_paper(),
    vigorl_paper(multi_turn=False),
    vigorl_released(multi_turn=True),
    vigorl_released(multi_turn=False),
]


@given(rollouts())
def test_every_reward_keeps_its_range(one):
    for reward in EVERY_REWARD:
        checked_score(reward, one)  # raises when the score leaves the range
        assert reward(one) == reward(one)


weights = st.floats(0, 10)


@given(st.sampled_from(list(kinds)), st.data(), weights, weights, weights)
def test_a_wrong_answer_never_outscores_a_right_one(kind, data, accuracy, form, diversity):
    form = min(form, accuracy / 2)
    sums = [grounded_zoom_reward(), single_turn_reward()]
    sums.append(
        grounded_zoom_reward(
            accuracy_weight=accuracy, format_weight=form, diversity_weight=diversity
        )
    )
    first, second = (data.draw(rollouts(kind)) for _ in range(2))
    for reward in sums:
        scores = {is_right(one): reward(one) for one in (first, second)}
        if len(scores) == 2:
            assert scores[False] <= scores[True] + 1e-9


@given(rollouts(), rollouts())
def test_the_default_reward_has_room_between_wrong_and_right(first, second):
    for one in (first, second):
        score = grounded_zoom_reward()(one)
        assert score >= 0.6 if is_right(one) else score <= 0.5 + 1e-9


@given(st.lists(rollouts(), max_size=6), st.data())
def test_metrics_merge_whatever_the_cut(many, data):
    reward = WeightedReward("both", [(AccuracyReward(), 1.0), (GroundingReward(), 1.0)])
    all_scored = []
    for one in many:
        breakdown = reward.breakdown(one)
        all_scored.append(scored(one, total=breakdown.total, parts=breakdown.parts))
    cut = data.draw(st.integers(0, len(many)))
    parts = metric_sums(all_scored[:cut]), metric_sums(all_scored[cut:])
    merged = {
        name: tuple(map(sum, zip(*(part.get(name, (0.0, 0)) for part in parts), strict=True)))
        for name in parts[0].keys() | parts[1].keys()
    }
    assert means(merged) == pytest.approx(means(metric_sums(all_scored)))


@given(
    st.lists(
        st.sampled_from(
            [
                "<think>",
                "</think>",
                "<tool_call>",
                "</tool_call>",
                "<answer>",
                "</answer>",
                "a",
                "\n",
            ]
        ),
        max_size=14,
    )
)
def test_blocks_are_those_of_the_pattern_that_says_what_a_block_is(pieces):
    text = "".join(pieces)
    block = re.compile(r"<(think|tool_call|answer)>(.*?)</\1>", re.DOTALL)
    found = [(match[1], match[2]) for match in block.finditer(text)]
    assert _split_blocks(text) == (found, block.sub("", text))
