"""What each method of groups asks and keeps, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.training.groups.down_sampling import DownSampling
from vigorl.training.groups.drop_flat import DropFlat
from vigorl.training.groups.dynamic_sampling import DynamicSampling
from vigorl.training.groups.method import GroupFacts, GroupMethod, Metric
from vigorl.training.groups.ratio_ema import RatioEMA
from vigorl.training.groups.replay import Replay
from vigorl.training.groups.spread_ranking import SpreadRanking
from vigorl.training.groups.variance_selection import VarianceSelection

WRONG, RIGHT, HALF, ONE = (0.0,) * 4, (1.0,) * 4, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0)
SHAPED = (0.0, 0.1, 0.0, 0.1)  # of an all-wrong group


def facts(
    *accuracies: tuple[float, ...],
    rewards: Sequence[tuple[float, ...]] | None = None,
    **fields: Any,
) -> list[GroupFacts]:
    """Groups in order, on one rank; rewards are accuracies where not given."""
    return [
        GroupFacts(
            **{
                "number": number,
                "rank": 0,
                "accuracies": accuracy,
                "rewards": (rewards or accuracies)[number],
                "is_whole": (True,) * len(accuracy),
            }
            | fields
        )
        for number, accuracy in enumerate(accuracies)
    ]


FOUR = facts(WRONG, ONE, RIGHT, HALF, rewards=[SHAPED, ONE, RIGHT, HALF])


@pytest.mark.parametrize(
    ("method", "kept", "factor"),
    [
        (GroupMethod(), (0, 1), 1.0),
        (DropFlat(), (1, 3), 1.0),
        (DropFlat(metric=Metric.REWARD), (0, 1), 1.0),  # the all-wrong group that differs in shape
        (DynamicSampling(), (1, 3), 1.0),
        (RatioEMA(), (3, 1), 1.0),  # the nearest to half right first
        (Replay(), (1, 3), 1.0),
        (SpreadRanking(), (3, 1), 1.0),
        (VarianceSelection(top_share=0.25), (3,), math.sqrt(1 / 4)),
        # spreads 0.05, 0.43, 0, 0.5: the largest alone is half of them
        (VarianceSelection(top_mass=0.5, scale=False), (3,), 1.0),
        (VarianceSelection(top_mass=0.6), (3, 1), math.sqrt(2 / 4)),
    ],
)
def test_which_groups_are_kept(method: GroupMethod, kept: tuple[int, ...], factor: float) -> None:
    choice = method.choose(FOUR, wanted=2)
    assert (choice.kept, choice.factor) == (kept, factor)


@pytest.mark.parametrize(
    ("method", "rounds"),
    [
        (GroupMethod(), [4]),
        (DropFlat(), [4]),
        (SpreadRanking(), [8]),
        (DynamicSampling(max_batches=3), [4, 4, 4]),
        (DynamicSampling(max_batches=3, oversample=1.5), [6, 6, 6]),
        # a quarter is kept: 3 are missing -> 12, at most a batch; then 2 of 8 are kept, 2 -> 8
        (DynamicSampling(max_batches=3, refill="missing", oversample=3.0), [12, 4]),
    ],
)
def test_how_many_prompts_are_asked(method: GroupMethod, rounds: list[int]) -> None:
    asked, known = list[int](), list[GroupFacts]()
    while count := method.num_prompts(known, wanted=4, round=len(asked)):
        asked.append(count)
        # every fourth group has a spread
        known = facts(*[ONE if i % 4 == 0 else RIGHT for i in range(sum(asked))])
    assert asked == rounds


def test_a_moving_average_plans_the_next_phase_and_is_remembered() -> None:
    method = RatioEMA(smoothing=0.5, max_expansion=3.0)
    method.choose(facts(ONE, RIGHT), wanted=2)  # half is flat: 1 / (1 - 1/2) = 2
    assert method.num_prompts((), wanted=10, round=0) == 15  # (1 + 2) / 2
    method.choose(facts(RIGHT, RIGHT), wanted=2)  # no end of it: 3 at most
    assert method.metrics() == {"groups/expansion": (2.25, 1)}
    other = RatioEMA(smoothing=0.5, max_expansion=3.0)
    other.load_state_dict(method.state_dict())
    assert other.num_prompts((), wanted=10, round=0) == 23
    assert other.num_prompts((), wanted=10, round=1) == 0


def test_broken_rollouts_do_not_rank_their_group() -> None:
    broken = (True, True, True, False)
    known = facts(ONE, is_whole=broken)  # the others are all wrong
    assert SpreadRanking().choose(known, wanted=1).kept == ()
    assert SpreadRanking(drop_broken=False).choose(known, wanted=1).kept == (0,)
    reasons = [builders.StopReason.TURN_LIMIT, builders.StopReason.TURN_LENGTH]
    group = [builders.scored(builders.rollout(stop_reason=reason)) for reason in reasons]
    assert SpreadRanking().pick(group, group_size=2) == [0]


@pytest.mark.parametrize(
    ("rule", "picked"),
    [("max_variance", [0, 3]), ("shortest", [2, 3]), ("efficient", [2, 3])],
)
def test_which_rollouts_of_a_group_are_picked(rule: str, picked: list[int]) -> None:
    totals, lengths = (0.0, 0.5, 0.6, 1.0), (9, 8, 2, 4)  # 0.3 and 0.25 of reward a token
    group = [
        builders.scored(builders.rollout(builders.answer_turn(num_tokens=length)), total=total)
        for total, length in zip(totals, lengths, strict=True)
    ]
    method = DownSampling(factor=2, rule=rule)
    assert method.rollouts_per_prompt(2) == 4
    assert method.pick(group, group_size=2) == picked


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: DropFlat(metric="shape"), "groups.metric must be one of accuracy, reward, got"),
        (
            lambda: DynamicSampling(oversample=0.5),
            "groups.oversample must be a finite number",
        ),
        (lambda: DynamicSampling(refill="some"), "groups.refill must be one of batch, missing"),
        (lambda: DynamicSampling(max_batches=0), "groups.max_batches must be a whole number"),
        (lambda: RatioEMA(smoothing=1.0), r"groups.smoothing must be from 0 to below 1, got 1.0"),
        (lambda: RatioEMA(max_expansion=math.nan), "groups.max_expansion must be a finite numb"),
        (lambda: VarianceSelection(top_share=0), "groups.top_share must be above 0 and up to 1"),
        (lambda: DownSampling(factor=1), "groups.factor must be a whole number from 2"),
        (lambda: DownSampling(rule="best"), "groups.rule must be one of max_variance, shortest"),
        (lambda: Replay(max_share=0.0), "groups.max_share must be above 0 and up to 1, got 0.0"),
    ],
)
def test_settings_without_meaning_are_refused(make: Any, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        make()
