"""Each number by hand, and the same whether it comes from sums or from a call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from tests.unit.evaluation.outcomes import choice, outcome
from vigorl.evaluation.metrics import (
    F1,
    AllRight,
    Mean,
    MeanExtra,
    MeanOf,
    Metric,
    PositionBias,
    Precision,
    Recall,
    SumMetric,
    YesShare,
    choice_metrics,
    measured,
)
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.statistics import wilson_interval


def yes_no(id: str, right: str, *said: str | None, split: str = "random") -> QuestionOutcome:
    """A question with the options yes and no, in this order."""
    index = {"yes": 0, "no": 1, None: None}
    chosen = [index[one] for one in said]
    return choice(id, *chosen, right=index[right] or 0, right_answer=right, category=split)


POPE = [
    yes_no("a", "yes", "yes"),
    yes_no("b", "yes", "yes"),
    yes_no("c", "yes", "no"),
    yes_no("d", "yes", None),  # cannot be read: missed, and no "no" either
    yes_no("e", "no", "yes"),
    yes_no("f", "no", "no"),
    yes_no("g", "no", None),
    yes_no("h", "no", "no", split="popular"),
]


def test_popes_numbers_by_hand():
    # 2 right yes, 1 false yes, 2 missed of 4 positive ones, 3 yes of 8
    assert Precision()(POPE) == pytest.approx(2 / 3)
    assert Recall()(POPE) == 0.5
    assert F1()(POPE) == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert YesShare()(POPE) == 3 / 8
    assert YesShare(only=("category", "random"))(POPE) == 3 / 7
    assert Recall(positive="NO")(POPE) == 0.5
    assert math.isnan(Precision()(POPE[5:6]))
    assert YesShare()([yes_no("a", "yes", "yes", "no", "no", None)]) == 0.25


def test_the_order_of_the_options_changes_nothing():
    turned = [
        replace(
            one,
            right_option=1 - (one.right_option or 0),
            chosen_options=tuple(None if c is None else 1 - c for c in one.chosen_options),
        )
        for one in POPE
    ]
    for metric in (Precision(), Recall(), F1(), YesShare()):
        assert metric(turned) == metric(POPE)


def test_means_of_parts_and_sets():
    many = [
        outcome("a", 1, tags={"pair": "x"}),
        outcome("b", 1, 0, tags={"pair": "x"}, extras={"iou": 0.5}),
        outcome("c", 1, category="place", tags={"pair": "y"}, extras={"iou": 0.0}),
    ]
    assert Mean()(many) == pytest.approx(2.5 / 3)
    assert MeanOf()(many) == pytest.approx((0.75 + 1) / 2)
    assert AllRight("pair")(many) == pytest.approx((0.5 + 1) / 2)
    assert MeanExtra("iou")(many) == 0.25
    assert math.isnan(MeanExtra("none")(many))
    assert math.isnan(Mean(("category", "none"))(many))
    assert math.isnan(MeanOf()([]))


def test_a_bias_for_a_position_by_hand():
    """The first of three options is chosen five times in six."""
    many = [
        choice("a", 0, right=0, options=3),
        choice("b", 0, right=0, options=3),
        choice("c", 0, right=1, options=3),
        choice("d", 1, right=1, options=3),
        choice("e", 0, right=2, options=3),
        choice("f", 0, right=2, options=3),
    ]
    # right in 1, 1/2 and 0 of the cases: mean 1/2, spread sqrt((1/4 + 0 + 1/4) / 3)
    assert PositionBias()(many) == pytest.approx(math.sqrt(1 / 6))
    found = choice_metrics(many)
    assert found["choice/position_bias"] == PositionBias()(many)
    assert found["choice/chosen_A_frac"] == pytest.approx(5 / 6)
    assert found["choice/right_A_frac"] == pytest.approx(2 / 6)
    assert found["choice/chosen_C_frac"] == 0
    # variance of the scores 1/4, over 2 questions each, times 2/3
    assert found["choice/position_bias_by_luck"] == pytest.approx(math.sqrt(0.25 / 2 * 2 / 3))
    assert PositionBias()(many[:4]) == pytest.approx(0.25)  # no question with the third
    assert choice_metrics([outcome("open", 1)]) == {}


@dataclass(frozen=True)
class Called(Metric):
    """A metric that is not made of sums."""

    metric: SumMetric

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        return self.metric(questions)


MANY = [
    choice(
        str(i),
        [0, 0, 1, None][i % 4],
        right=i % 2,
        right_answer="yes" if i % 2 == 0 else "no",
        cluster=str(i // 3),
        category=str(i % 5),
        extras={"iou": i / 24},
    )
    for i in range(24)
]


@pytest.mark.parametrize("metric", [MeanOf(), MeanExtra("iou"), F1(), PositionBias()])
def test_sums_and_calls_give_the_same_interval(metric: SumMetric):
    by_sums, by_calls = measured(metric, MANY), measured(Called(metric), MANY)
    assert by_sums.num_clusters == by_calls.num_clusters == 8
    assert by_sums.value == pytest.approx(by_calls.value)
    assert (by_sums.low, by_sums.high) == pytest.approx((by_calls.low, by_calls.high))
    assert by_sums.error == pytest.approx(by_calls.error)
    assert by_sums.low < by_sums.value < by_sums.high


def test_a_mean_of_single_questions_has_wilsons_interval_in_each_part():
    alone = [replace(one, cluster="") for one in MANY]
    part = [one.score for one in alone if one.category == "1"]
    found = measured(Mean(("category", "1")), alone)
    assert (found.low, found.high) == wilson_interval(int(sum(part)), len(part))
    assert found.num_questions == len(part) == 5
    assert math.isnan(measured(Mean(("category", "none")), alone).value)


def test_scores_between_spread_less_than_wilson_allows():
    """Forty questions, each right in half of its answers, but for two."""
    half = [outcome(str(i), *([1, 0] if i > 1 else [1, 1])) for i in range(40)]
    found = measured(Mean(), half)
    assert found.value == pytest.approx(21 / 40)
    assert (
        found.high - found.low
        < 0.1
        < 0.25
        < wilson_interval(21, 40)[1] - wilson_interval(21, 40)[0]
    )
