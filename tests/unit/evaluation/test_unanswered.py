"""Answers that are none are counted, and refusals told apart."""

from __future__ import annotations

import pytest

from tests.builders import answer_turn, rollout, turn
from vigorl.evaluation.judging import AsTrained
from vigorl.evaluation.unanswered import answer_metrics, is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry",
        "I am unable to see the sign.",
        "As an AI, I have no eyes.",
        "It is not possible to tell.",
        "This cannot be determined from the picture.",
        "抱歉，我看不到。",
    ],
)
def test_refusals(text: str):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text", ["red", "The sign cannot turn.", "", "The dog is not able to jump.", "I see it."]
)
def test_no_refusals(text: str):
    assert not is_refusal(text)


def test_shares_of_all_answers():
    rollouts = [
        rollout(answer_turn("red")),
        rollout(answer_turn("blue", think="I cannot see it well, but it is blue.")),
        rollout(turn("I'm sorry, I cannot answer.")),
        rollout(turn("no tags")),
    ]
    assert answer_metrics(rollouts, AsTrained()) == {
        "answer/unreadable_frac": 0.5,
        "answer/refused_frac": 0.25,
    }
