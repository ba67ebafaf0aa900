from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import DISC, answer_turn, refused_turn, rollout, task, zoom_turn
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.rewards.turns import (
    AnswerGainReward,
    NewTargetReward,
    answer_gain_reward,
    turn_reward,
)

TWO = task(targets=(DISC, Box(350, 350, 370, 370)))  # the other one at (90, 90) as it is seen


def test_a_look_is_paid_for_the_targets_that_it_is_the_first_to_see() -> None:
    looks = (zoom_turn(90, 20), zoom_turn(), zoom_turn(52, 20), refused_turn(), zoom_turn(90, 90))
    seen = rollout(*looks, answer_turn(), task=TWO)
    reward = NewTargetReward(miss_price=0.25, max_price=0.375)
    # a miss, a new one, the same again, no look, the other, an answer
    assert reward.score_turns(seen) == [-0.25, 0.5, 0.0, 0.0, 0.5, 0.0]
    misses = rollout(zoom_turn(90, 20), zoom_turn(10, 90), answer_turn(), task=TWO)
    assert reward.score_turns(misses) == [-0.25, -0.125, 0.0]
    assert reward.range == (-0.375, 1.0)
    assert reward.score_turns(rollout(task=task(targets=()))) == [0.0, 0.0]


def test_a_call_is_paid_what_it_does_to_the_answer() -> None:
    probes = {"answer_now_0": 0.0, "answer_now_1": 1.0}
    asked = rollout(zoom_turn(), zoom_turn(), answer_turn("blue"), probes=probes)
    assert AnswerGainReward().score_turns(asked) == [1.0, -1.0, 0.0]  # found, then misled
    right = replace(asked, turns=(*asked.turns[:2], answer_turn()))
    assert AnswerGainReward().score_turns(right) == [1.0, 0.0, 0.0]
    assert AnswerGainReward().score_turns(rollout()) == [0.0, 0.0]  # nobody has asked


@pytest.mark.parametrize("make", [turn_reward, answer_gain_reward])
def test_a_wrong_answer_never_outscores_a_right_one(make) -> None:
    reward = make()
    best_wrong = rollout(zoom_turn(), answer_turn("blue"), probes={"answer_now_0": 0.0})
    worst_right = rollout(answer_turn(think=""))
    assert reward.breakdown(best_wrong).total <= reward.breakdown(worst_right).total
    with pytest.raises(ConfigError, match=r"turn_weight=0\.5"):
        make(turn_weight=0.5)
