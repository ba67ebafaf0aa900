"""Each rule on literal traces, and on the nearest trace that it must not count.

The picture is 112x112 as the policy sees it, a zoom's window 28x28 of those pixels.
"""

from __future__ import annotations

import pytest

from tests.builders import (
    answer_turn,
    call_text,
    looks_at,
    refused_turn,
    rollout,
    turn,
    zoom_turn,
)
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point
from vigorl.core.media import Region
from vigorl.core.rollout import Rollout
from vigorl.evaluation.behaviors import Behavior, BehaviorRules, behavior_metrics

REGIONS, SUBGOALS = Behavior.REGIONS, Behavior.SUBGOALS
VERIFICATION, BACKTRACKING = Behavior.VERIFICATION, Behavior.BACKTRACKING


def said(think: str) -> Rollout:
    """One turn that thinks and answers."""
    return rollout(answer_turn(think=think))


def looked(*turns: object, end: str = "It is red.") -> Rollout:
    """Zooms given as (x, y) or (x, y, thought), then an answer without a point."""
    zooms = [zoom_turn(x, y, think=t[0] if t else None) for x, y, *t in turns]  # type: ignore
    return rollout(*zooms, answer_turn(think=end))


def count(one: Rollout, behavior: Behavior, **settings: float) -> int:
    return BehaviorRules(**settings).count(one)[behavior]


# ---- regions explored


@pytest.mark.parametrize(
    ("one", "regions"),
    [
        (said("No place is named."), 0),
        (said("A (10, 10), b (19, 10)."), 1),  # 9 px apart
        (said("A (10, 10), b (20, 10)."), 2),  # 10 px apart
        (said("A (10, 10), b (18, 10), c (26, 10)."), 2),  # c is 8 from b, but 16 from a
        (said("A (10, 10), b (60, 60), a (10, 10)."), 2),
        (said("On it (111, 5), off it (112, 5) and (-1, 5)."), 1),
        (rollout(answer_turn("(50, 20)", think="Here.")), 0),  # an answer is no look
        (looked((50, 20)), 1),  # the thought's point and the call's are one look
        (looked((50, 20), (50, 33)), 1),  # 13 px: windows share 15 of 28 rows, 54 %
        (looked((50, 20), (50, 34)), 2),  # 14 px: just a half is not more than a half
        (looked((50, 20), (56, 80, "Look (90, 20).")), 3),  # a named place is a region too
        (looked((50, 20), end="The disc (62, 30)."), 1),  # 15.6 px away, inside what was shown
        (looked((50, 20), end="The disc (65, 30)."), 2),  # the window ends at x = 64
        (rollout(refused_turn(999, 20, think="Off."), answer_turn(think="Red.")), 0),
    ],
)
def test_regions(one: Rollout, regions: int):
    assert count(one, REGIONS) == regions


def test_how_near_is_one_region_is_a_setting():
    one = said("A (10, 10), b (19, 10).")
    assert count(one, REGIONS, near_px=9) == 2
    assert count(looked((50, 20), (50, 33)), REGIONS, max_overlap_frac=0.6) == 2
    assert count(looked((50, 20), (50, 34)), REGIONS, max_overlap_frac=0.4) == 1
    for wrong in ({"near_px": 0}, {"max_overlap_frac": 1}):
        with pytest.raises(ConfigError, match="near_px"):
            BehaviorRules(**wrong)


def test_a_small_window_inside_a_large_one_is_a_region_of_its_own():
    large = zoom_turn(focus=Region(Point(200, 200), Box(0, 0, 400, 400)))
    small = zoom_turn(focus=Region(Point(320, 320), Box(280, 280, 360, 360)))
    assert count(rollout(large, small, answer_turn(think="Red.")), REGIONS) == 2


def test_without_a_picture_no_place_is_counted():
    one = rollout(answer_turn(think="Let me check (1, 2)."), prompt_views=())
    assert BehaviorRules().count(one) == {
        REGIONS: 0, SUBGOALS: 0, VERIFICATION: 1, BACKTRACKING: 0
    }  # fmt: skip


def test_a_turn_without_a_thought_block_is_read_up_to_its_action():
    plain = turn("A (10, 10), b (60, 60). <answer> (90, 90) </answer>")
    assert count(rollout(plain), REGIONS) == 2


# ---- grounded subgoals


@pytest.mark.parametrize(
    "sentence",
    [
        "Let me look at the lamp (50, 20).",
        "Now I will inspect (50, 20).",
        "Next, the lamp at (50, 20).",
        "I need to find the lamp near (50, 20).",
        "Look at (50, 20).",
        "I'm going to zoom in on (50, 20).",
    ],
)
def test_an_announced_look_with_a_point_is_a_subgoal(sentence: str):
    assert count(said(sentence), SUBGOALS) == 1
    assert count(said(f"{sentence} {sentence}"), SUBGOALS) == 2


@pytest.mark.parametrize(
    "sentence",
    [
        "The lamp is at (50, 20).",  # seen, not sought
        "The lamp (50, 20) is next to the door.",
        "Let me look at the lamp.",  # no point
        "Let me look at the lamp (500, 20).",  # no point on the picture
        "I will now give the answer (50, 20).",
        "The man looks at (50, 20).",
    ],
)
def test_what_is_no_grounded_subgoal(sentence: str):
    assert count(said(sentence), SUBGOALS) == 0


@pytest.mark.parametrize(
    ("think", "subgoals"),
    [
        ("The lamp is at (50, 20).", 1),  # it names where its call then looks
        ("Let me look at the lamp.", 1),  # it announces, and the call has the point
        ("Let me look at (50, 20).", 1),  # both, of the same look
        ("The lamp is somewhere.", 0),
        ("The lamp is at (90, 90).", 0),  # but the call looks at (50, 20)
        ("Let me look at (90, 90).", 1),  # announced, though not done
        ("First look at (90, 90). The lamp is at (50, 20).", 2),
    ],
)
def test_a_zoom_is_a_subgoal_when_its_thought_announces_it(think: str, subgoals: int):
    assert count(looked((50, 20, think)), SUBGOALS) == subgoals


# ---- verification


@pytest.mark.parametrize(
    "sentence",
    [
        "Let me verify that it is red.",
        "I will double-check the disc (50, 20).",
        "I look at (50, 20) to confirm it.",
        "Looking again, it is red.",
        "I want to make sure.",
        "Rechecking the left side.",
    ],
)
def test_saying_that_something_is_checked_is_verification(sentence: str):
    assert count(said(sentence), VERIFICATION) == 1
    assert count(said(f"It is red. {sentence} So it is. {sentence}"), VERIFICATION) == 2


@pytest.mark.parametrize(
    "sentence",
    [
        "The disc is red.",
        "There is no need to verify this.",
        "I cannot confirm the colour.",
        "A man in a check shirt at (50, 20).",
        "Let me look at the disc (50, 20).",  # for the first time
        "I see it again.",
    ],
)
def test_what_is_no_verification(sentence: str):
    assert count(said(sentence), VERIFICATION) == 0


def test_a_second_zoom_at_a_region_is_verification_said_or_not():
    assert count(looked((50, 20), (52, 22)), VERIFICATION) == 1
    assert count(looked((50, 20), (90, 90), (50, 20)), VERIFICATION) == 1
    assert count(looked((50, 20), (52, 22, "Let me check (52, 22).")), VERIFICATION) == 1
    assert count(looked((50, 20), (90, 90)), VERIFICATION) == 0
    # in words a place may be named again without a second look at it
    assert count(said("The disc (50, 20). It (50, 20) is red."), VERIFICATION) == 0


# ---- backtracking


@pytest.mark.parametrize(
    ("think", "moves"),
    [
        ("A (10, 10). B (60, 60). The cup (10, 10) again.", 1),
        ("A (10, 10). B (60, 60). A (10, 10) again. B (60, 60).", 2),
        ("A (10, 10). Wait, it is b (60, 60).", 1),
        ("A (10, 10). That is wrong. B (60, 60). C (90, 10).", 1),
        ("A (10, 10). B (60, 60). Going back to (10, 10).", 1),  # returned and said so: one move
        ("A (10, 10). No, b (60, 60).", 1),
    ],
)
def test_backtracking_in_words(think: str, moves: int):
    assert count(said(think), BACKTRACKING) == moves


@pytest.mark.parametrize(
    "think",
    [
        "A (10, 10). B (60, 60). C (90, 10).",
        "A (10, 10). It (12, 10) is red.",  # never left
        "A (10, 10). Wait, it is red.",  # turns around, but goes nowhere
        "Wait, I must look at a (10, 10).",  # from nowhere
        "A (10, 10). Wait, it (12, 10) is red.",  # the same region
        "A (10, 10). B (60, 60). A (10, 10) is left of b (60, 60).",  # compares
        "A (10, 10). B (60, 60). So the cup (10, 10) is red.",  # concludes
        "A (10, 10). There is no lamp. People wait at b (60, 60).",
        "A (10, 10). It is actually red. At the back of the room is b (60, 60).",
    ],
)
def test_what_is_no_backtracking(think: str):
    assert count(said(think), BACKTRACKING) == 0


def test_zooms_alone_move_where_there_are_any():
    assert count(looked((50, 20), (90, 90), (50, 22)), BACKTRACKING) == 1
    assert count(looked((50, 20), (90, 90, "No sign. Wait. It is at (90, 90).")), BACKTRACKING) == 1
    assert count(looked((50, 20), (90, 90), (20, 90)), BACKTRACKING) == 0
    assert count(looked((50, 20), (52, 22, "Wait. Here.")), BACKTRACKING) == 0
    # the words of a refused turn lead to the next look
    refused = turn(call_text(999, 20, think="Wait, not there."), tool_error="outside")
    between = rollout(zoom_turn(50, 20), refused, zoom_turn(90, 90), answer_turn())
    assert count(between, BACKTRACKING) == 1
    # a place that was zoomed at may be named again without going there
    named = looked((50, 20), (90, 90), end="The first (50, 20) is red.")
    assert count(named, BACKTRACKING) == 0


# ---- all together


def test_a_whole_trace():
    """From the made world: misses, turns around, looks at the second sign, answers."""
    one = looked(
        (12, 16, "The blue disc is at (12, 16)."),
        (60, 16, "I see no sign. Wait. The blue disc is at (60, 16)."),
        (90, 90, "I see the blue disc. Its stripes rise. The red disc is at (90, 90)."),
        end="I see the red disc. Its stripes rise.",
    )
    counted = BehaviorRules().count(one)
    assert counted == {REGIONS: 3, SUBGOALS: 3, VERIFICATION: 0, BACKTRACKING: 1}


def test_metrics_are_means_over_rollouts():
    found = behavior_metrics([looked((50, 20)), looked((50, 20), (90, 90), (50, 22))])
    assert found == {
        "behaviors/regions_explored_mean": 1.5,
        "behaviors/grounded_subgoals_mean": 2.0,
        "behaviors/verification_mean": 0.5,
        "behaviors/backtracking_mean": 0.5,
    }
    assert behavior_metrics([]) == {}


@pytest.mark.parametrize(("picture", "regions"), [(0, 3), (1, 2), (2, 2)])
def test_a_look_at_another_picture_is_no_region_of_the_first(picture: int, regions: int) -> None:
    # the thoughts name (1, 1) and (50, 20)
    assert count(looks_at(picture, places=[Point(400, 400)]), REGIONS) == regions
