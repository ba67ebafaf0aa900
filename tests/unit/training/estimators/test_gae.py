"""Credit by a critic's values, of tokens and of turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.training.estimators.batch_norm import BatchNormalized
from vigorl.training.estimators.bilevel_gae import BilevelGAE
from vigorl.training.estimators.estimator import Estimate, Estimator, Rated
from vigorl.training.estimators.gae import GAE
from vigorl.training.estimators.group_mean import GroupMean
from vigorl.training.estimators.step_credit import StepCredit
from vigorl.training.readings import TokenReadings


def rated(
    rollout: Rollout,
    values: Sequence[float],
    *,
    turns: Sequence[float] = (),
    outcome: float = 0.0,
    costs: Sequence[float] = (),
) -> Rated:
    total = sum(turns) + outcome
    read = TokenReadings((), values=tuple(values))
    one = Rated(ScoredRollout(rollout, RewardBreakdown(total, turns=tuple(turns))), total)
    return Rated(one.scored, total - sum(costs), one.by_turn(costs) if costs else (), read)


def of_lengths(*lengths: int, observed: int = 2, group: str = "a") -> Rollout:
    """A turn per length, an observation after each but the last."""
    turns = [
        builders.turn("", num_tokens=num, observation_ids=(7,) * observed * (i < len(lengths)))
        for i, num in enumerate(lengths, start=1)
    ]
    return builders.rollout(*turns, group=group)


def estimate_of(estimator: Estimator, one: Rated) -> Estimate:
    ((found,),) = estimator.advantages([[one]])
    return found


def flat(values: Sequence[Sequence[float]]) -> list[float]:
    return [value for turn in values for value in turn]


def test_gae_by_hand() -> None:
    one = rated(of_lengths(2, 1), [0.5, 0.25, 0.75], outcome=1.0)
    found = estimate_of(GAE(discount=0.5, trace_decay=0.5), one)
    # d: 0.5 * 0.25 - 0.5, 0.5 * 0.75 - 0.25, 1 - 0.75; A = d + 0.25 A of the next
    last, middle = 0.25, 0.125 + 0.25 * 0.25
    assert found.values == [[-0.375 + 0.25 * middle, middle], [last]]
    assert flat(found.returns) == [0.5 + found.values[0][0], 0.25 + middle, 1.0]


def test_observations_neither_discount_nor_cut() -> None:
    values = [0.1, 0.4, -0.2, 0.7, 0.3]
    for estimator in (GAE(discount=0.9, trace_decay=0.8), BilevelGAE(discount=0.9)):
        found = [
            estimate_of(estimator, rated(of_lengths(2, 3, observed=n), values, outcome=1.0))
            for n in (0, 1, 9)
        ]
        assert found[0].values == found[1].values == found[2].values


def test_what_nothing_is_discounted_or_cut_short_is_what_is_still_paid() -> None:
    one = rated(of_lengths(2, 1), [0.0, 0.0, 0.0], turns=[0.25, 0.0], outcome=1.0)
    assert estimate_of(GAE(), one).values == [[1.25, 1.25], [1.0]]
    # the outcome is two steps of turns away from none of the first turn's words
    assert estimate_of(BilevelGAE(turn_discount=0.5), one).values == [[0.75, 0.75], [1.0]]


# One row of three turns, with the code of VAGEN's release at 4076507: discounts 0.99 and 0.95, one
# decay of 0.9 (python, float64; not whitened).
RELEASED = [0.750394730116, 0.67664952875, 0.59556625, 0.17485325, 0.03575, 0.15]
VALUES = [0.10, 0.25, 0.40, 0.55, 0.70, 0.85]
PAID = [0.3, -0.2, 1.0]


def test_two_levels_as_released() -> None:
    one = rated(of_lengths(3, 2, 1), VALUES, turns=PAID)
    found = estimate_of(
        BilevelGAE(discount=0.99, trace_decay=0.9, turn_discount=0.95, turn_trace_decay=0.9), one
    )
    assert flat(found.values) == pytest.approx(RELEASED, abs=1e-12)


def test_with_a_turns_first_value_one_clock_is_plain_gae() -> None:
    same = {"discount": 0.9, "trace_decay": 0.7, "turn_discount": 0.9, "turn_trace_decay": 0.7}
    one = rated(of_lengths(1, 1, 1), VALUES[:3], turns=PAID, costs=[0.1, -0.2, 0.3])
    plain = estimate_of(GAE(discount=0.9, trace_decay=0.7), one)
    for turn_value in ("first", "last"):  # of turns of one token both are the same
        found = estimate_of(BilevelGAE(**same, turn_value=turn_value), one)
        assert flat(found.values) == pytest.approx(flat(plain.values), abs=1e-12)
    longer = rated(of_lengths(3, 2, 1), VALUES, turns=PAID)
    ends = [
        flat(estimate_of(BilevelGAE(turn_value=one), longer).values)[4] for one in ("first", "last")
    ]
    # the second turn's last token is paid r + g (V_3 + A_3) = -0.2 + 0.95
    assert ends == pytest.approx([0.75 - 0.70, 0.75 - 0.70])


def test_the_price_of_kl_is_paid_token_by_token() -> None:
    one = rated(of_lengths(2), [0.0, 0.0], outcome=1.0, costs=[0.25, 0.5])
    assert estimate_of(GAE(), one).values == [[0.25, 0.5]]
    assert estimate_of(BilevelGAE(), one).values == [[0.25, 0.5]]


def test_the_critic_is_measured_over_all_tokens() -> None:
    groups = [
        [rated(of_lengths(2), [0.5, 0.5], outcome=1.0), rated(of_lengths(1), [0.5], outcome=0.0)],
        [rated(of_lengths(1), [0.0], outcome=0.0)],
    ]
    found = [one for group in GAE().advantages(groups) for one in group]
    # returns 1 1 0 0, of variance 1/3; less 0.5 0.5 0.5 0: 0.5 0.5 -0.5 0, of variance 0.6875 / 3
    assert [one.metrics["critic/explained_variance"] for one in found] == [
        (pytest.approx(1 - 0.6875), 1.0)
    ] * 3
    assert found[0].metrics["critic/value_mean"] == (1.0, 2.0)
    assert found[0].metrics["critic/return_mean"] == (2.0, 2.0)
    (group,) = GAE().advantages(groups[1:])
    assert "critic/explained_variance" not in group[0].metrics  # all returns are equal


def test_whitening_leaves_the_returns_alone() -> None:
    one, other = (rated(of_lengths(2), [0.5, 0.25], outcome=r) for r in (1.0, 0.0))
    plain = GAE().advantages([[one, other]])[0]
    whitened = BatchNormalized(inner=GAE(), over="tokens", keep_flat=False)
    assert whitened.needs_critic
    found = whitened.advantages([[one, other]])[0]
    assert [one.returns for one in found] == [one.returns for one in plain]
    values = flat([flat(one.values) for one in found])
    assert math.fsum(values) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"discount": 0.0}, r"algorithm\.estimator\.discount must be above 0 and up to 1, got 0"),
        ({"trace_decay": 1.5}, r"estimator\.trace_decay must be a share, from 0 to 1, got 1\.5"),
        ({"turn_discount": 2.0}, r"estimator\.turn_discount must be above 0"),
        ({"turn_value": "middle"}, r"turn_value must be one of first, last, got 'middle'"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        BilevelGAE(**settings)
    with pytest.raises(ConfigError, match=r"outcome cannot need a critic.*: GAE"):
        StepCredit(outcome=GAE())
    assert not GroupMean().needs_critic
