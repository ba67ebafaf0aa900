from __future__ import annotations

from tests import builders
from vigorl.core.rollout import StopReason
from vigorl.pages.tallies import Tally, joined, tally_of


def test_every_rollout_ends_in_one_way_and_what_was_wrong_is_counted():
    rollouts = [
        builders.rollout(),
        builders.rollout(builders.answer_turn("blue")),
        builders.rollout(builders.turn("no tags")),
        builders.rollout(builders.zoom_turn(), stop_reason=StopReason.TURN_LIMIT),
        builders.rollout(builders.refused_turn(999), builders.refused_turn(998)),
    ]
    tally = tally_of(rollouts)
    assert tally.outcomes == {"right": 1, "wrong answer": 1, "no_action": 2, "turn_limit": 1}
    assert tally.problems == {"no_think": 1}
    assert tally.tool_errors == {"point … is outside the picture": 2}  # whatever the point
    assert tally.tools == {"search_coordinate": 4}
    assert tally.looks == {1: 2, 0: 3}
    assert tally.turns == {2: 2, 1: 3}
    assert tally.tokens == {0: 5}  # 4 or 8 tokens
    assert joined([tally, tally]).turns == {2: 4, 1: 6}
    assert joined([tally, Tally()]).num_rollouts == 5


def test_a_policy_that_writes_many_names_does_not_make_many_rows():
    turns = [
        builders.turn(builders.call_text(1, 1).replace(builders.TOOL_NAME, f"tool{i}"))
        for i in range(100)
    ]
    tools = tally_of([builders.rollout(*turns)]).tools
    assert len(tools) == 41
    assert tools["others"] == 60
