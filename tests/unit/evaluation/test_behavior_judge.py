"""What a judge is asked, how its replies are read, and that a missing one is never 0."""

from __future__ import annotations

import pytest

from tests.builders import answer_turn, rollout, task, zoom_turn
from tests.unit.rollout.fake_judge import in_turn
from vigorl.evaluation.behavior_judge import (
    Missing,
    judge_behaviors,
    judge_prompt,
    read_total,
)
from vigorl.evaluation.behaviors import Behavior


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ("Two places. <total>2</total>", 2),
        ("<total> 0 </total>\n", 0),
        ("A <total>NUMBER</total> is asked for: <total>3</total>", 3),
        ("First <total>1</total>, or rather <total>12</total>", 12),
        ("", Missing.UNREADABLE),
        ("2", Missing.UNREADABLE),
        ("<total>two</total>", Missing.UNREADABLE),
        ("<total>-1</total>", Missing.UNREADABLE),
        ("<total>2.5</total>", Missing.UNREADABLE),
        ("<total>2", Missing.UNREADABLE),  # cut by the token limit
    ],
)
def test_replies(reply: str, count: int | Missing):
    assert read_total(reply) == count


def test_a_prompt_holds_the_question_and_all_turns_but_no_picture_slot():
    one = rollout(
        zoom_turn(50, 20, think="A {brace} at (50, 20)."),
        answer_turn(think="It is red."),
        task=task(question="<image>What colour?"),
    )
    prompts = {behavior: judge_prompt(behavior, one) for behavior in Behavior}
    assert len(set(prompts.values())) == 4
    for prompt in prompts.values():
        for text in ("What colour?", "A {brace} at (50, 20).", '"coordinate": [50, 20]', "is red."):
            assert text in prompt
        assert "Here is the crop:\n[cut-out]" in prompt
        assert "<image>" not in prompt
        assert read_total(prompt) is Missing.UNREADABLE  # an echoed prompt counts nothing


def test_missing_replies_are_missing():
    zeros = ["<total>0</total>"] * 4
    judge = in_turn("<total>1</total>", "<total>2</total>", None, "no idea", *zeros)
    assert judge_behaviors(judge, [rollout(), rollout()]) == {
        Behavior.REGIONS: (1, 2),
        Behavior.SUBGOALS: (Missing.FAILED, Missing.UNREADABLE),
        Behavior.VERIFICATION: (0, 0),
        Behavior.BACKTRACKING: (0, 0),
    }
