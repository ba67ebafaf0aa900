from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from vigorl.core.rollout import ScoredRollout, StopReason
from vigorl.training.algorithms.group_relative import GroupRelative

RIGHT = builders.scored(builders.rollout(group="a"), total=1.0)
WRONG = builders.scored(
    builders.rollout(builders.answer_turn("blue"), group="a", stop_reason=StopReason.TURN_LENGTH),
    total=0.0,
)
FLAT = [builders.scored(builders.rollout(group="b"), total=0.5)] * 2


def advantages(groups: list[list[ScoredRollout]], **settings: Any) -> list[list[float]]:
    credits = GroupRelative(**settings).credit(groups)
    return [
        [credit.mean_advantage(one.rollout) for credit, one in zip(*pair, strict=True)]
        for pair in zip(credits, groups, strict=True)
    ]


def test_a_reward_is_compared_with_those_of_its_group() -> None:
    # rewards 1, 0: mean 0.5, sample std sqrt(0.5), so +-0.5 / sqrt(0.5); the other group is flat
    assert advantages([[RIGHT, WRONG], FLAT]) == [
        pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-5),
        [0.0, 0.0],
    ]
    assert advantages([[RIGHT, WRONG]], scale_by_std=False) == [[0.5, -0.5]]


def test_a_spread_below_the_least_is_not_blown_up() -> None:
    # a bonus of 0.05 to one of two: spread 0.05 sqrt(0.5); +-0.7071 without a floor
    busy = builders.scored(builders.rollout(group="a"), total=1.05)
    both = [[busy, RIGHT], [RIGHT, WRONG]]
    small, large = advantages(both, min_std=0.1)
    assert small == pytest.approx([0.25, -0.25], rel=1e-4)  # +-0.025 / 0.1
    assert large == advantages(both)[1]
    assert advantages(both)[0] == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-4)


def test_all_sampled_tokens_of_a_rollout_share_its_advantage() -> None:
    ((credit, _),) = GroupRelative(scale_by_std=False).credit([[RIGHT, WRONG]])
    assert credit.loss_mask == RIGHT.rollout.loss_mask
    assert credit.advantages == tuple(0.5 * m for m in RIGHT.rollout.loss_mask)


def test_truncated_rollouts_can_be_kept_from_the_gradient() -> None:
    masked, plain = (
        GroupRelative(mask_truncated=m).credit([[RIGHT, WRONG]]) for m in (True, False)
    )
    assert [any(credit.loss_mask) for credit in masked[0]] == [True, False]
    assert all(any(credit.loss_mask) for credit in plain[0])
    assert masked[0][1].advantages == plain[0][1].advantages  # it still counted in the group


def test_a_group_of_one_is_named() -> None:
    with pytest.raises(ValueError, match="group 'a': a group needs at least two"):
        advantages([[RIGHT]])
