import math
from dataclasses import dataclass

import pytest

from tests.builders import answer_turn, rollout, turn, zoom_turn
from vigorl.core.errors import ConfigError, NoScoreError
from vigorl.core.protocols import Reward
from vigorl.core.rewards import (
    AccuracyReward,
    FormatReward,
    WeightedReward,
    grounded_zoom_reward,
    single_turn_reward,
)
from vigorl.core.rollout import RewardBreakdown


@dataclass(frozen=True)
class ConstantReward:
    value: float
    name: str = "constant"
    range: tuple[float, float] = (0.0, 1.0)

    def __call__(self, rollout):
        return self.value


def test_total_is_the_weighted_sum_and_parts_are_unweighted():
    reward = WeightedReward("both", [(AccuracyReward(), 0.75), (FormatReward(), 0.25)])
    assert isinstance(reward, Reward)
    weights = {"accuracy": 0.75, "format": 0.25}
    right = reward.breakdown(rollout())
    assert right == RewardBreakdown(1.0, {"accuracy": 1.0, "format": 1.0}, weights)
    wrong = reward.breakdown(rollout(answer_turn("blue")))
    assert wrong == RewardBreakdown(0.25, {"accuracy": 0.0, "format": 1.0}, weights)
    assert reward(rollout(turn("red"))) == 0.0


@dataclass(frozen=True)
class FirstTurnReward:
    """Pays the first turn and charges the second."""

    name: str = "first"
    range: tuple[float, float] = (0.0, 1.0)

    def score_turns(self, rollout):
        return [0.75, -0.25, *[0.0] * (len(rollout.turns) - 2)]


def test_what_turns_are_paid_is_part_of_the_total():
    reward = WeightedReward("x", [(AccuracyReward(), 1.0)], turn_parts=[(FirstTurnReward(), 0.5)])
    found = reward.breakdown(rollout())
    assert found.turns == (0.375, -0.125)
    assert (found.total, found.outcome, found.parts["first"]) == (1.25, 1.0, 0.5)
    assert reward.range == (0.0, 1.5)
    with pytest.raises(ValueError, match="zip"):
        reward.breakdown(rollout(answer_turn()))


def test_a_part_that_nobody_could_judge_is_missing_and_not_zero():
    @dataclass(frozen=True)
    class Unjudged(ConstantReward):
        def __call__(self, rollout):
            raise NoScoreError("the judge did not answer")

    reward = WeightedReward("x", [(AccuracyReward(), 1.0), (Unjudged(0.0), 1.0)])
    found = reward.breakdown(rollout())
    assert (found.total, found.parts, found.missing) == (1.0, {"accuracy": 1.0}, ("constant",))


def test_range_follows_from_the_parts():
    malus = ConstantReward(1.0, name="length", range=(0.0, 2.0))
    assert WeightedReward("x", [(AccuracyReward(), 1.0), (malus, -0.25)]).range == (-0.5, 1.0)
    endless = ConstantReward(1.0, range=(0.0, math.inf))
    assert WeightedReward("x", [(endless, 0.0)]).range == (0.0, 0.0)
    assert WeightedReward("x", [(endless, 0.5)]).range == (0.0, math.inf)


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf])
def test_a_part_that_leaves_its_range_stops_the_run(value):
    reward = WeightedReward("x", [(ConstantReward(value), 1.0)])
    with pytest.raises(ConfigError, match=f"^reward: part 'constant' returned {value} for task"):
        reward(rollout())


def test_an_infinite_score_is_refused_even_in_an_endless_range():
    endless = ConstantReward(math.inf, range=(0.0, math.inf))
    with pytest.raises(ValueError, match="'constant' returned inf"):
        WeightedReward("x", [(endless, 1.0)])(rollout())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "no parts"),
        ([(ConstantReward(1.0), 1.0), (ConstantReward(0.0), 1.0)], "unique"),
        ([(ConstantReward(1.0, name="total"), 1.0)], "unique"),
        ([(ConstantReward(1.0), math.nan)], "finite"),
        ([({"settings": "of a reward"}, 1.0)], "_convert_: all"),
    ],
)
def test_senseless_sums_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        WeightedReward("x", parts)


def test_grounded_zoom_reward_by_hand():
    reward = grounded_zoom_reward()
    assert reward.range == (0.0, 1.0)
    # 0.6 accuracy + 0.2 format + 0.25 * 0.2 for one place
    assert reward(rollout()) == pytest.approx(0.85)
    assert reward(rollout(answer_turn())) == pytest.approx(0.8)
    assert reward(rollout(zoom_turn(), answer_turn("blue"))) == pytest.approx(0.2)
    assert reward.breakdown(rollout()).parts == {
        "accuracy": 1.0,
        "format": 1.0,
        "zoom_diversity": 0.2,
    }


def test_single_turn_reward_by_hand():
    assert single_turn_reward()(rollout(answer_turn())) == pytest.approx(1.0)
    vague = rollout(answer_turn(think="It is red."))
    assert single_turn_reward()(vague) == pytest.approx(0.7)
    assert single_turn_reward(require_points=False)(vague) == pytest.approx(1.0)


@pytest.mark.parametrize("factory", [grounded_zoom_reward, single_turn_reward])
def test_weights_that_let_a_wrong_answer_win_are_refused(factory):
    with pytest.raises(ConfigError, match=r"format_weight=0\.4"):
        factory(accuracy_weight=0.6, format_weight=0.4)
    with pytest.raises(ConfigError, match="negative"):
        factory(format_weight=-0.1)
