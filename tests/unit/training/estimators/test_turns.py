"""Credit per turn: what is paid from a turn on, against those who stood where it was taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import pytest

from tests import builders
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, Turn
from vigorl.training.estimators.estimator import Estimator, Rated
from vigorl.training.estimators.gigpo import StateGroups
from vigorl.training.estimators.group_mean import GroupMean
from vigorl.training.estimators.step_credit import StepCredit
from vigorl.training.estimators.turn_returns import TurnReturns


def rated(turns: Sequence[float], outcome: float, rollout: Rollout | None = None) -> Rated:
    """A rollout of as many turns, each paid for itself."""
    looks = [builders.zoom_turn()] * (len(turns) - 1)
    rollout = rollout or builders.rollout(*looks, builders.answer_turn(), group="a")
    total = sum(turns) + outcome
    return Rated(ScoredRollout(rollout, RewardBreakdown(total, turns=tuple(turns))), total)


def by_turn(estimator: Estimator, group: Sequence[Rated]) -> list[list[float]]:
    (found,) = estimator.advantages([group])
    for estimate in found:
        assert all(len(set(turn)) == 1 for turn in estimate.values)  # the same on a turn's tokens
    return [[turn[0] for turn in estimate.values] for estimate in found]


def test_a_turn_is_compared_with_those_who_reached_it() -> None:
    group = [rated([0.5, 0.0, 0.0], 1.0), rated([0.0, 0.25], 0.0), rated([0.0], 1.0)]
    # returns 1.5 1.0 1.0 | 0.25 0.25 | 1.0; the third turn has nobody else: their whole rewards
    assert by_turn(TurnReturns(), group) == [
        [1.5 - 0.625, 1.0 - 0.25, 1.0 - 0.625],
        [0.25 - 1.25, 0.25 - 1.0],
        [1.0 - 0.875],
    ]


def test_its_gradient_is_that_of_the_expected_reward() -> None:
    """A policy goes on with probability p at each of two turns; three ways to end. By enumeration
    of pairs the credit times the score is the derivative of the expected reward, exactly.
    """
    # what turns are paid, by what was done so far; no outcome
    p, ends = 0.3, ([0.2], [0.5, 0.5], [0.5, -0.5, 0.75])
    chances = [1 - p, p * (1 - p), p * p]
    scores = [[-1 / (1 - p)], [1 / p, -1 / (1 - p)], [1 / p, 1 / p, 0.0]]
    # J = 0.2 (1 - p) + p (1 - p) + 0.75 p^2
    slope = -0.2 + (1 - 2 * p) + 1.5 * p
    found = 0.0
    for pair in product(range(3), repeat=2):
        credits = by_turn(TurnReturns(), [rated(ends[i], 0.0) for i in pair])
        gradient = [
            sum(a * s for a, s in zip(own, scores[i], strict=True))
            for own, i in zip(credits, pair, strict=True)
        ]
        found += math.prod(chances[i] for i in pair) * sum(gradient) / 2
    assert found == pytest.approx(slope, rel=1e-12)


def looking(*turns: Turn, outcome: float) -> Rated:
    rollout = builders.rollout(*turns, builders.answer_turn(), group="a")
    return rated([0.0] * len(rollout.turns), outcome, rollout)


def test_turns_taken_in_the_same_state_are_compared() -> None:
    near, far = builders.zoom_turn(51, 20), builders.zoom_turn(90, 90)
    group = [
        looking(builders.zoom_turn(), outcome=1.0),
        looking(near, outcome=0.0),  # 4 of 112 px off: IoU 108 / 116
        looking(far, outcome=0.5),
    ]
    estimator = StateGroups(discount=0.5, step_weight=2.0, scale_by_std=False)
    # first turns: returns 0.5, 0, 0.25; second ones: 1, 0 together, 0.5 alone
    assert by_turn(estimator, group) == [
        [0.5 + 2 * 0.25, 0.5 + 2 * 0.5],
        [-0.5 + 2 * -0.25, -0.5 + 2 * -0.5],
        [0.0, 0.0],
    ]
    (estimates,) = estimator.advantages([group])
    singles = [one.metrics["credit/singleton_frac"] for one in estimates]
    assert singles == [(0.0, 2.0), (0.0, 2.0), (1.0, 2.0)]
    strict = StateGroups(discount=0.5, scale_by_std=False, min_iou=0.99)
    assert by_turn(strict, group)[0] == [0.75, 0.5]  # alone after the look


def test_steps_are_credited_beside_the_outcome() -> None:
    group = [rated([1.0, 0.0, 0.0], 1.0), rated([0.5, 0.0], 0.0)]
    estimator = StepCredit(weight=0.5, outcome=GroupMean(scale_by_std=False))
    # outcomes 1 and 0; steps 1, 0 and 0.5, of mean 0.5; the answers are no steps
    assert by_turn(estimator, group) == [[0.75, 0.25, 0.5], [-0.5, -0.5]]


@pytest.mark.parametrize("estimator", [TurnReturns(), StateGroups(), StepCredit()])
def test_a_constant_added_to_the_outcomes_changes_nothing(estimator: Estimator) -> None:
    plain, moved = (
        by_turn(estimator, [rated([0.5, 0.0], 1.0 + c), rated([0.0, 0.25], c)]) for c in (0.0, 3.0)
    )
    if not isinstance(estimator, StateGroups):  # discounted, as in the paper
        assert moved == [pytest.approx(one) for one in plain]
    alone = rated([0.0], 1.0)
    with pytest.raises(ValueError, match="group 'a': a group needs at least"):
        estimator.advantages([[alone]])
