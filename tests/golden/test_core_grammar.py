"""The exact strings that SFT data, prompts, rollouts and checkpoints share; a change breaks them.

Source: the format of the released data and prompts (Gabesarch/grounded-rl@e7970c0,
scripts/mcts/build_reasoning_chains_from_mcts_multiturn.py and verl/workers/rollout/multiturn).
"""

from tests.builders import view
from vigorl.core.geometry import Point
from vigorl.core.trace import (
    FORCED_ANSWER_PREFIX,
    Step,
    ToolCall,
    Trace,
    observation_text,
    render_point,
)

CALL = ToolCall("search_coordinate", {"coordinate": [50, 20]})


def test_multi_turn_trace():
    trace = Trace((Step("The red disc is at (50, 20).", CALL), Step("Its stripes rise.")), "rising")
    assert trace.turns() == [
        "<think> The red disc is at (50, 20). </think>\n"
        "<tool_call>\n"
        '{"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}\n'
        "</tool_call>",
        "<think> Its stripes rise. </think>\n<answer> rising </answer>",
    ]


def test_letters_of_other_scripts_stay_readable():
    turns = Trace((Step("a", ToolCall("zoom", {"label": "赤"})), Step("b")), "赤").turns()
    assert '{"name": "zoom", "arguments": {"label": "赤"}}' in turns[0]


def test_observations():
    shown = "Here is the crop of the image centered on the coordinate:\n"
    assert observation_text((shown, view())) == (
        "<observation>\n"
        "Here is the crop of the image centered on the coordinate:\n"
        "<image>\n"
        "</observation>"
    )
    assert observation_text(("no such tool",)) == ("<observation>\nno such tool\n</observation>")


def test_forced_answer():
    assert FORCED_ANSWER_PREFIX == (
        "<think> Based on all the information I've gathered, I'll now provide my final answer. "
        "</think>\n<answer>"
    )


def test_point():
    assert render_point(Point(50.0, 20)) == "(50, 20)"
    assert render_point(Point(0.5, 0.1239)) == "(0.5, 0.124)"  # a frame from 0 to 1
