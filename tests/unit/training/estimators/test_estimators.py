"""Each estimator against the peers' own functions, and against what its paper says of it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.rollout.probes.greedy import GREEDY_REWARD
from vigorl.training.estimators import estimator as ranks_of_estimators
from vigorl.training.estimators.batch_norm import BatchNormalized
from vigorl.training.estimators.batch_std import BatchStd
from vigorl.training.estimators.estimator import Estimator, Rated
from vigorl.training.estimators.gae import GAE
from vigorl.training.estimators.gdpo import ByParts
from vigorl.training.estimators.gpg import NonzeroScaled
from vigorl.training.estimators.group_mean import GroupMean
from vigorl.training.estimators.leave_one_out import LeaveOneOut
from vigorl.training.estimators.mapo import MixedDeviation
from vigorl.training.estimators.max_rl import MaxRL
from vigorl.training.estimators.opo import LengthWeighted
from vigorl.training.estimators.optimal_token import OptimalToken
from vigorl.training.estimators.pass_at_k import BestOfGroup
from vigorl.training.estimators.remax import AgainstGreedy
from vigorl.training.estimators.return_to_go import ReturnToGo
from vigorl.training.readings import TokenReadings

VECTORS = json.loads((Path(__file__).parents[3] / "golden/algorithms_vectors.json").read_text())
GIVEN = VECTORS["inputs"]
WHITENED: dict[str, Any] = {
    "over": "tokens", "is_population": False, "eps": 1e-8, "eps_in_root": True,
}  # fmt: skip
COUNTERPARTS: dict[str, Estimator] = {
    "rloo": LeaveOneOut(),
    "reinforce++ gamma 0.9": BatchNormalized(inner=ReturnToGo(discount=0.9), **WHITENED),
    "reinforce++ baseline": BatchNormalized(inner=GroupMean(scale_by_std=False), **WHITENED),
    "opo": LengthWeighted(),
    "grpo pass@k with std": BestOfGroup(),
    "gpg": NonzeroScaled(),
    "remax greedy 0.3 .3 .55 .55": AgainstGreedy(),
    "optimal token baseline (sum_pi_squared = p^2+(1-p)^2/4)": OptimalToken(over_sampled=False),
    "optimal token baseline, positions over policy tokens": OptimalToken(),
    "gdpo, parts [1,0,1,0] and [.2,.4,.1,.9], weights 1 and .5": BatchNormalized(
        inner=ByParts(), **WHITENED
    ),
    "gae gamma 0.95 lambda 0.9": BatchNormalized(
        inner=GAE(discount=0.95, trace_decay=0.9), **WHITENED
    ),
}


def rollout_of(mask: Sequence[int], **fields: Any) -> Rollout:
    """Its turns are the runs of 1; a run of 0 between two is an observation."""
    runs = "".join(map(str, mask)).rstrip("0").replace("01", "0 1").split()
    turns = [
        builders.turn("", num_tokens=run.count("1"), observation_ids=tuple(range(run.count("0"))))
        for run in runs
    ]
    return builders.rollout(*turns, **fields)


def given_groups(values: Sequence[Sequence[float]] | None = None) -> list[list[Rated]]:
    old = [
        [p - change for p, change in zip(*rows, strict=True)]
        for rows in zip(GIVEN["logp"], GIVEN["log_ratio_new_minus_old"], strict=True)
    ]
    parts = zip([1, 0, 1, 0], [0.2, 0.4, 0.1, 0.9], [0.3, 0.3, 0.55, 0.55], strict=True)
    rated = []
    for row, (first, second, greedy) in enumerate(parts):
        mask = GIVEN["mask"][row]
        logprobs = [p for p, m in zip(old[row], mask, strict=True) if m]
        squares = [math.exp(p) ** 2 + (1 - math.exp(p)) ** 2 / 4 for p in logprobs]
        reward = RewardBreakdown(
            GIVEN["rewards"][row], {"a": float(first), "b": second}, {"a": 1.0, "b": 0.5}
        )
        rollout = rollout_of(mask, group=GIVEN["groups"][row], probes={GREEDY_REWARD: greedy})
        of_row = values[row] if values else ()
        expected = tuple(v for v, m in zip(of_row, mask, strict=False) if m)
        read = TokenReadings(tuple(logprobs), squared_probs=tuple(squares), values=expected)
        rated.append(Rated(ScoredRollout(rollout, reward), reward.total, readings=read))
    return [rated[:2], rated[2:]]


@pytest.mark.parametrize("entry", VECTORS["estimators"], ids=lambda entry: entry["card"])
def test_an_estimator_is_that_of_the_peers(entry: dict[str, Any]) -> None:
    groups = given_groups(entry["settings"].get("values"))
    found = COUNTERPARTS[entry["card"]].advantages(groups)
    of_rows = [one for group in found for one in group]
    for estimate, row, mask in zip(of_rows, entry["advantages"], GIVEN["mask"], strict=True):
        expected = [value for value, m in zip(row, mask, strict=True) if m]
        values = [value for turn in estimate.values for value in turn]
        assert values == pytest.approx(expected, rel=0, abs=1e-8)
    if "gae" not in entry["card"]:
        return
    for estimate, row, mask in zip(of_rows, entry["returns"], GIVEN["mask"], strict=True):
        expected = [value for value, m in zip(row, mask, strict=True) if m]
        returns = [value for turn in estimate.returns for value in turn]
        assert returns == pytest.approx(expected, rel=0, abs=1e-8)


# ---- what the papers say of them -----------------------------------------------------------------

REWARDS = [[1.0, 0.0, 0.25, 1.0], [0.0, 1.0, 0.5, 0.25], [0.5, 0.5, 0.5, 0.5]]


def rated(groups: Sequence[Sequence[float]]) -> list[list[Rated]]:
    return [
        [Rated(builders.scored(builders.rollout(group=str(i)), total=one), one) for one in group]
        for i, group in enumerate(groups)
    ]


def firsts(estimator: Estimator, groups: Sequence[Sequence[float]]) -> list[list[float]]:
    """The advantage of each rollout's first token."""
    found = estimator.advantages(rated(groups))
    return [[one.values[0][0] for one in group] for group in found]


@pytest.mark.parametrize(
    "estimator",
    [
        GroupMean(), GroupMean(scale_by_std=False), LeaveOneOut(), BatchStd(), LengthWeighted(),
        BestOfGroup(), NonzeroScaled(), BatchNormalized(inner=GroupMean()),
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_a_constant_added_in_a_group_changes_nothing(estimator: Estimator) -> None:
    # the spread of the batch, and the share of rewards that are 0, may know it, of one group not
    both = isinstance(estimator, BatchStd)
    moved = [[one + 2.0 for one in group] for group in REWARDS[: 1 if both else None]]
    plain = REWARDS[: len(moved)]
    if isinstance(estimator, NonzeroScaled):
        plain = [[one + 1.0 for one in group] for group in plain]
    assert firsts(estimator, moved) == [pytest.approx(one) for one in firsts(estimator, plain)]


def test_leave_one_out_is_the_centred_reward_times_n_over_n_less_one() -> None:
    centred = firsts(GroupMean(scale_by_std=False), REWARDS)
    found = firsts(LeaveOneOut(), REWARDS)
    assert found == [pytest.approx([4 / 3 * one for one in group]) for group in centred]
    assert found[2] == [0.0] * 4


def test_the_spread_of_a_batch_of_one_group_is_the_groups() -> None:
    (found,), (expected,) = (firsts(one, REWARDS[:1]) for one in (BatchStd(eps=1e-6), GroupMean()))
    assert found == pytest.approx(expected)


def test_a_second_z_score_is_the_factor_that_follows_from_the_flat_groups() -> None:
    # f = 10 of 32 groups of 8 have a spread: 1 / sqrt(f 7 / 8) = 1.912
    mixed = [[1.0, *[0.0] * 7], [1.0, 1.0, 1.0, *[0.0] * 5]] * 5
    groups = mixed + [[0.7] * 8] * 22
    once = firsts(GroupMean(), groups)
    twice = firsts(BatchNormalized(inner=GroupMean()), groups)
    factor = 1 / math.sqrt(10 / 32 * 7 / 8)
    for first, second in zip(once, twice, strict=True):
        assert second == pytest.approx([factor * one for one in first], rel=1e-5)
    assert twice[10:] == [[0.0] * 8] * 22


def test_ranks_together_have_one_mean_and_one_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = BatchNormalized(inner=BatchStd(), over="tokens", is_population=False)
    whole = firsts(estimator, REWARDS)
    told, barrier, own_rank = [None, None], threading.Barrier(2), threading.local()

    def gather(own: Any) -> list[Any]:
        told[own_rank.number] = own
        barrier.wait()
        found = list(told)
        barrier.wait()
        return found

    def on_rank(number: int) -> list[list[float]]:
        own_rank.number = number
        return firsts(estimator, REWARDS[:1] if number == 0 else REWARDS[1:])

    monkeypatch.setattr(ranks_of_estimators, "from_all_ranks", gather)
    with ThreadPoolExecutor(2) as ranks:
        first, second = ranks.map(on_rank, (0, 1))
    assert first + second == [pytest.approx(group, rel=1e-12) for group in whole]


def test_seldom_solved_prompts_pull_by_one_over_their_rate() -> None:
    (seldom,) = firsts(MaxRL(eps=0.0), [[1.0, 0.0, 0.0, 0.0]])
    assert seldom == [3.0, -1.0, -1.0, -1.0]  # (1 - 0.25) / 0.25
    assert firsts(MaxRL(), [[0.0] * 4]) == [[0.0] * 4]
    with pytest.raises(ValueError, match="group '0': MaxRL needs rewards from 0 on, got -1"):
        firsts(MaxRL(), [[1.0, -1.0]])


def test_mixed_deviation_is_a_z_score_at_one_half_and_a_percentage_at_the_ends() -> None:
    half, sure = [1.0, 0.0], [1.0, 0.75]
    assert firsts(MixedDeviation(eps=1e-6), [half]) == firsts(GroupMean(), [half])
    # p = 1: deviations of 0.125 from a mean of 0.875
    assert firsts(MixedDeviation(eps=0.0), [sure])[0] == pytest.approx([1 / 7, -1 / 7])


def test_one_right_of_many_zeros_is_scaled_up_by_gpg() -> None:
    # 2 of 8 rewards are not 0: alpha 4; 4 (1 - 0.25)
    assert firsts(NonzeroScaled(), [[1.0, 0, 0, 0]] * 2)[0] == [3.0, -1.0, -1.0, -1.0]


def test_a_baseline_that_nobody_asked_for_is_named() -> None:
    with pytest.raises(ValueError, match=r"group '0': .* set probes=\[greedy\]"):
        firsts(AgainstGreedy(), REWARDS)


def test_a_discount_counts_sampled_tokens_alone() -> None:
    ((one,),) = rated([[1.0]])
    (found,) = ReturnToGo(discount=0.5).advantages([[one]])[0]
    assert found.values == [[1 / 128, 1 / 64, 1 / 32, 1 / 16], [1 / 8, 1 / 4, 1 / 2, 1.0]]
