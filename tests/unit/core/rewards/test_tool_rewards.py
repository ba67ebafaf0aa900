"""The papers' rewards on lengths, looks and gates: by hand, and their order over all kinds of
rollouts, as their YAMLs have them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tests.builders import answer_turn, refused_turn, rollout, task, turn, zoom_turn
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.protocols import FINISHED
from vigorl.core.rewards import (
    AccuracyReward,
    AdaptiveUseReward,
    ConsistencyVeto,
    FormatReward,
    Gate,
    LengthPenaltyReward,
    SoftOverlongReward,
    StopProperly,
    StrategyReward,
    ThoughtBeforeLookReward,
    ToolBonusReward,
    WeightedReward,
)
from vigorl.core.rewards.gate import _OfTotal
from vigorl.core.rollout import Rollout, StopReason
from vigorl.resolvers import CONFIGS

POINT = "The disc at (50, 20)."


def looking(looks: int, answer: str = "red", **fields: Any) -> Rollout:
    """That many looks at one place, then the answer."""
    return rollout(*[zoom_turn()] * looks, answer_turn(answer), **fields)


def of_length(num_tokens: int, answer: str = "red") -> Rollout:
    return rollout(answer_turn(answer, num_tokens=num_tokens))


def test_soft_overlong_falls_over_the_buffer() -> None:
    reward = SoftOverlongReward(max_tokens=100, buffer_frac=0.2)
    # free up to 80; 90 is half way; 100 and more cost 1
    scores = [reward(of_length(n)) for n in (80, 90, 100, 130)]
    assert scores == pytest.approx([0.0, -0.5, -1.0, -1.0])


def test_length_is_priced_in_right_answers_by_how_good_the_group_is() -> None:
    reward = LengthPenaltyReward(input_weight=0.1, turns_weight=0.2)
    group = [looking(2), looking(0), looking(2, "blue"), looking(0, "blue")]
    # half are right; 6 of 6 tokens seen and 3 of 3 turns: 0.5 * 0.3; nothing seen, 1 of 3 turns
    scores = reward.score_group(group, [], progress=FINISHED)
    assert scores == pytest.approx([-0.15, -0.5 * 0.2 / 3, 0.0, 0.0])


@pytest.mark.parametrize(
    ("fields", "right", "wrong"),
    [
        ({}, 1.0, 0.0),
        ({"max_uses": 4}, 2.0, 0.0),
        ({"pay_on": "wrong"}, 0.0, 1.0),
        ({"pay_on": "any", "max_uses": 4}, 2.0, 2.0),
    ],
)
def test_a_bonus_is_for_the_answers_it_names(
    fields: dict[str, Any], right: float, wrong: float
) -> None:
    reward = ToolBonusReward(**({"bonus": 1.0} | fields))
    assert (reward(looking(2)), reward(looking(2, "blue"))) == (right, wrong)
    assert reward(looking(0)) == 0.0


def test_calls_that_failed_count_where_calls_are_paid() -> None:
    failed = rollout(refused_turn(), zoom_turn(), answer_turn())
    kinds = [
        {"counted": "calls"}, {"counted": "looks"}, {"all_must_work": True},
    ]  # fmt: skip
    paid = [ToolBonusReward(bonus=0.1, max_uses=4, **kind)(failed) for kind in kinds]
    assert paid == pytest.approx([0.2, 0.1, 0.0])


def test_the_shortest_thought_is_what_pays() -> None:
    reward = ThoughtBeforeLookReward()
    long = "The disc is at (50, 20), I think."
    assert reward(rollout(zoom_turn(think="1234"), answer_turn(think=long))) == pytest.approx(0.04)
    assert reward(rollout(zoom_turn(think=long), answer_turn(think=long))) == 0.1


def test_a_strategy_is_the_labelled_one_or_not() -> None:
    reward = StrategyReward(tag="size", look="small")

    def score(label: str, looks: int, answer: str = "red") -> float:
        return reward(looking(looks, answer, task=task(tags={"size": label})))

    assert [score("small", 1), score("small", 1, "blue"), score("small", 0)] == [1.0, 0.5, 0.0]
    assert [score("large", 1), score("large", 0)] == [0.0, 1.0]
    with pytest.raises(DataError, match="has no tag 'size'"):
        reward(looking(1))


def test_use_is_paid_where_it_agrees_with_the_need() -> None:
    reward = AdaptiveUseReward(bonus=0.2, penalty=0.1)

    def scores(*group: Rollout) -> list[float]:
        return reward.score_group(group, [], progress=FINISHED)

    # with the tool 1 of 1 right, without 1 of 2: it is needed
    assert scores(looking(1), looking(0), looking(0, "blue")) == [0.2, 0.0, 0.0]
    # as good without: it is not
    assert scores(looking(1), looking(0), looking(0)) == [-0.1, 0.2, 0.2]
    # nobody went without: nothing is known
    assert scores(looking(1), looking(1)) == [0.0, 0.0]
    reward = replace(reward, without_probe="tool_off_score")
    asked = replace(looking(1), probes={"tool_off_score": 1.0})
    assert scores(asked, looking(1)) == [-0.1, -0.1]


def test_a_gate_opens_for_right_answers() -> None:
    gate = Gate(FormatReward())
    assert (gate.name, gate(looking(1)), gate(looking(1, "blue"))) == ("format", 1.0, 0.0)


def vetoed(*turns: Any, **fields: Any) -> bool:
    return not ConsistencyVeto().holds(rollout(*turns, **fields))


def test_a_veto_reads_thoughts_beside_actions() -> None:
    assert not vetoed(zoom_turn(), answer_turn())
    assert not vetoed(zoom_turn(50, 20), zoom_turn(90, 90), answer_turn(think="It is red."))
    assert vetoed(zoom_turn(50, 20, think="It is at (90, 90)."), answer_turn())  # looks elsewhere
    assert vetoed(zoom_turn(50, 20), zoom_turn(55, 20), answer_turn())  # 5 px apart
    assert vetoed(turn("<answer> red </answer>"))  # no thought
    assert vetoed(zoom_turn(), stop_reason=StopReason.TURN_LIMIT)  # no answer


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ConsistencyVeto(), 0.0),
        (StopProperly(coef=0.5), 0.3),
        (StopProperly(coef=-0.25), -0.25),
    ],
)
def test_a_change_of_the_total_is_a_part_like_any_other(part: _OfTotal, expected: float) -> None:
    reward = WeightedReward("x", [(AccuracyReward(), 0.6)], [(part, 1.0)])  # pyright: ignore[reportArgumentType]
    cut = rollout(zoom_turn(), answer_turn(), stop_reason=StopReason.TURN_LIMIT)
    (found,) = reward.breakdowns([cut], progress=FINISHED)
    assert found.total == pytest.approx(expected)
    assert found.total == pytest.approx(0.6 + sum(found.parts.values()) - 1.0)
    (kept,) = reward.breakdowns([looking(1)], progress=FINISHED)
    assert kept.total == pytest.approx(0.6)


KEEPS_ORDER = (
    "deepeyes", "pyvision", "pixel_reasoner", "look_less", "chain_of_focus_right",
    "chain_of_focus_wrong", "visual_programmability", "vlm_r3", "vilasr", "soft_overlong",
    "cosine_length", "length_penalty", "stop_properly",
)  # fmt: skip
JUDGED = {*KEEPS_ORDER, "framethinker", "framethinker_video", "tool_price"}


def shipped(name: str) -> WeightedReward:
    node = OmegaConf.load(Path(CONFIGS, "reward", f"{name}.yaml"))
    limits = {"max_response_tokens": 100}
    return instantiate(OmegaConf.create({"reward": node, "limits": limits}).reward)


@cache
def kinds(answer: str) -> list[Rollout]:
    """Rollouts of every kind with that answer."""
    made = []
    for looks, think, is_refused, num_tokens, label in product(
        (0, 1, 2, 5), (POINT, "", "at (9, 9)"), (False, True), (1, 300), ("small", "large")
    ):
        turns = [zoom_turn(think=think)] * looks + [refused_turn()] * is_refused
        last = answer_turn(answer, think=think, num_tokens=num_tokens)
        made.append(rollout(*turns, last, task=task(tags={"size": label})))
    return made


def totals(reward: WeightedReward, answer: str) -> list[float]:
    """Of every kind of rollout with that answer, in groups of several makings."""
    found = []
    for others in ([looking(1)], [looking(0)], [looking(1), looking(0, "blue"), looking(0)]):
        others = [replace(one, task=task(tags={"size": "large"})) for one in others]
        for one in kinds(answer):
            found.append(reward.breakdowns([one, *others], progress=FINISHED)[0].total)
    return found


@pytest.mark.parametrize("name", KEEPS_ORDER)
def test_no_wrong_answer_outscores_a_right_one(name: str) -> None:
    reward = shipped(name)
    right, wrong = totals(reward, "red"), totals(reward, "blue")
    assert max(wrong) < min(right)
    low, high = reward.range
    assert low - 1e-9 <= min(wrong)
    assert max(right) <= high + 1e-9


@pytest.mark.parametrize(("name", "most"), [("framethinker", 1.2), ("framethinker_video", 1.02)])
def test_a_vetoed_right_answer_ties_with_a_wrong_one_and_never_falls_below(
    name: str, most: float
) -> None:
    reward = shipped(name)
    assert min(totals(reward, "red")) >= max(totals(reward, "blue")) == 0.0
    assert max(totals(reward, "red")) == pytest.approx(most)


def test_the_price_that_kills_the_tool_breaks_the_order() -> None:
    reward = shipped("tool_price")
    # right after four looks, without format: 0.8 - 4 * 0.5; wrong at once, in format: 0.2
    assert min(totals(reward, "red")) == pytest.approx(-1.2)
    assert max(totals(reward, "blue")) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftOverlongReward(max_tokens=0), "max_tokens=0"),
        (lambda: LengthPenaltyReward(input_weight=0, turns_weight=0), "one above 0"),
        (lambda: Gate(FormatReward(), min_score=0.0), "min_score=0"),
        (lambda: ToolBonusReward(bonus=1, pay_on="often"), "pay_on='often' must be one of right"),
        (lambda: ToolBonusReward(bonus=1, max_uses=0), "max_uses=0"),
        (lambda: ToolBonusReward(bonus=-1), "bonus=-1"),
        (lambda: ThoughtBeforeLookReward(most=-1), "must be >= 0"),
        (lambda: StrategyReward(tag="a", look="b", wrong_share=2), "wrong_share=2"),
        (lambda: AdaptiveUseReward(margin=2), "margin in"),
        (lambda: StopProperly(coef=2), "coef=2"),
        (lambda: ConsistencyVeto(max_total=0), "max_total=0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
