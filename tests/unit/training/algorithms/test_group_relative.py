from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.rollout import RewardBreakdown, ScoredRollout, StopReason
from vigorl.training.algorithms.adaptive_kl import AdaptiveKL
from vigorl.training.algorithms.group_relative import GroupRelative
from vigorl.training.algorithms.prompt_factor import ByProbe, ByTag
from vigorl.training.estimators.gae import GAE
from vigorl.training.estimators.gdpo import ByParts
from vigorl.training.estimators.leave_one_out import LeaveOneOut
from vigorl.training.estimators.return_to_go import ReturnToGo
from vigorl.training.readings import Reads, TokenReadings

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


OVER = builders.scored(
    builders.rollout(builders.zoom_turn(), group="a", stop_reason=StopReason.TURN_LIMIT), total=0.0
)
MIXED = [RIGHT, builders.scored(builders.rollout(group="a"), total=0.5), OVER]


@pytest.mark.parametrize(
    ("settings", "expected", "is_learned"),
    [
        # rewards 1, 0.5, 0: mean 0.5, or 0.75 without the last
        ({}, [0.5, 0.0, -0.5], True),
        ({"over_turn": "none", "mask_truncated": True}, [0.5, 0.0, -0.5], True),
        ({"over_turn": "gradient"}, [0.5, 0.0, -0.5], False),
        ({"mask_truncated": True}, [0.5, 0.0, -0.5], False),
        ({"over_turn": "statistics"}, [0.25, -0.25, 0.0], False),
    ],
)
def test_who_reached_the_limit_of_turns_is_kept_masked_or_left_out(
    settings: dict[str, Any], expected: list[float], is_learned: bool
) -> None:
    ((*_, last),) = GroupRelative(scale_by_std=False, **settings).credit([MIXED])
    assert advantages([MIXED], scale_by_std=False, **settings) == [expected]
    assert any(last.loss_mask) == is_learned


def test_over_turn_leaves_other_limits_alone_and_a_lone_rest_without_credit() -> None:
    statistics: dict[str, Any] = {"scale_by_std": False, "over_turn": "statistics"}
    assert advantages([[RIGHT, WRONG]], **statistics) == [[0.5, -0.5]]  # WRONG hit TURN_LENGTH
    assert advantages([[RIGHT, OVER, OVER]], **statistics) == [[0.0, 0.0, 0.0]]


def test_what_nobody_could_judge_is_neither_compared_nor_learned() -> None:
    unjudged = replace(WRONG, reward=RewardBreakdown(0.25, missing=("facts",)))
    ((right, wrong, none),) = GroupRelative(scale_by_std=False).credit([[RIGHT, WRONG, unjudged]])
    assert (max(right.advantages), min(wrong.advantages)) == (0.5, -0.5)
    assert not any(none.advantages)
    assert not any(none.loss_mask)


def shaped(total: float, *, right: float) -> ScoredRollout:
    parts = {"accuracy": right, "bonus": total - 0.8 * right}
    return replace(RIGHT, reward=RewardBreakdown(total, parts, {"accuracy": 0.8, "bonus": 1.0}))


def test_shaping_ranks_equals_and_moves_nothing_else() -> None:
    # right answers with a bonus of 0.2 and of 0.1, a wrong one with 0.05
    mixed = [shaped(1.0, right=1), shaped(0.9, right=1), shaped(0.05, right=0)]
    # 0.8 + 0.05, 0.8 - 0.05, 0: mean 1.6 / 3
    expected = [0.85 - 1.6 / 3, 0.75 - 1.6 / 3, -1.6 / 3]
    settings: dict[str, Any] = {"scale_by_std": False, "centre_shaping": True}
    assert advantages([mixed, mixed[:2]], **settings) == [pytest.approx(expected), [0.0, 0.0]]
    assert advantages([mixed[:2]], scale_by_std=False) == [pytest.approx([0.05, -0.05])]
    with pytest.raises(ValueError, match=r"group 'a': algorithm.centre_shaping needs a reward"):
        advantages([[RIGHT, WRONG]], **settings)


def test_a_prompts_factor_acts_after_the_normalisation() -> None:
    plain, weighed = (
        advantages([[RIGHT, WRONG]], prompt_factor=factor)[0]
        for factor in (None, ByTag(factors={"": 1.5}))
    )
    assert weighed == pytest.approx([1.5 * one for one in plain])
    # as a factor on the rewards it cancels (RewardMap)
    scaled = [replace(one, reward=RewardBreakdown(1.5 * one.reward.total)) for one in MIXED]
    assert advantages([scaled])[0] == pytest.approx(advantages([MIXED])[0], abs=1e-5)
    with pytest.raises(DataError, match=r"no factor for category=''; set algorithm.prompt_factor"):
        advantages([[RIGHT, WRONG]], prompt_factor=ByTag(factors={"hard": 1.5}))


def test_a_probe_of_the_group_gates_what_is_learned_from_it() -> None:
    def with_numbers(*numbers: float) -> list[ScoredRollout]:
        return [
            replace(one, rollout=replace(one.rollout, probes={"checklist": number}))
            for one, number in zip((RIGHT, WRONG), numbers, strict=True)
        ]

    gate, plain = ByProbe(number="checklist"), advantages([[RIGHT, WRONG]])[0]
    for numbers, factor in (((0.5, 0.0), 0.25), ((1.0, 1.0), 0.5), ((0.0, 0.0), 0.0)):
        gated = advantages([with_numbers(*numbers)], prompt_factor=gate)[0]
        assert gated == pytest.approx([factor * one for one in plain])
    with pytest.raises(DataError, match="no probe has found 'checklist'"):
        advantages([[RIGHT, WRONG]], prompt_factor=gate)
    unasked = ByProbe(number="checklist", default=1.0)
    assert advantages([[RIGHT, WRONG]], prompt_factor=unasked)[0] == plain
    with pytest.raises(
        ConfigError, match=r"prompt_factor\.most must be a finite number above 0, got 0"
    ):
        ByProbe(number="checklist", most=0)


# ---- KL in the reward ----------------------------------------------------------------------------


def read(*nats: float) -> TokenReadings:
    """Of 8 sampled tokens, in two turns of four; the rest are 0."""
    return TokenReadings((*nats, *[0.0] * (8 - len(nats))), (0.0,) * 8)


def test_a_kl_in_the_reward_is_paid_before_the_baseline() -> None:
    pair = [RIGHT, replace(RIGHT, reward=RewardBreakdown(0.0))]
    algorithm = GroupRelative(reward_kl_coef=0.1, estimator=LeaveOneOut())
    ((first, second),) = algorithm.credit([pair], readings=[[read(1.0, -3.0), read(2.0)]])
    # rewards 1 + 0.2 and 0 - 0.2, each against the other
    assert max(first.advantages) == pytest.approx(1.4)
    assert min(second.advantages) == pytest.approx(-1.4)
    assert algorithm.reads is Reads.LOGPROBS
    assert algorithm.needs_reference
    assert not algorithm.needs_zero_advantages


def test_a_kl_is_paid_token_by_token_where_the_estimator_looks_ahead() -> None:
    algorithm = GroupRelative(reward_kl_coef=0.1, estimator=ReturnToGo())
    ((credit,),) = algorithm.credit([[RIGHT]], readings=[[read(1.0, 0.0, -2.0, 0.0, 4.0)]])
    sampled = [a for a, m in zip(credit.advantages, RIGHT.rollout.loss_mask, strict=True) if m]
    assert sampled == pytest.approx([0.7, 0.8, 0.8, 0.6, 0.6, 1.0, 1.0, 1.0])


def test_the_coefficient_follows_the_kl_and_stands_in_the_checkpoint() -> None:
    def after_a_phase(control: AdaptiveKL) -> dict[str, Any]:
        algorithm = GroupRelative(reward_kl_coef=0.5, kl_control=control, estimator=ReturnToGo())
        algorithm.credit([[RIGHT], [RIGHT]], readings=[[read(*[0.11] * 8)], [read(*[0.11] * 8)]])
        return algorithm.state_dict()

    state = after_a_phase(AdaptiveKL(target=0.1, horizon=20))
    # 0.11 / 0.1 - 1 = 0.1, two rollouts of 20
    assert state == {"kl_control": {"coef": pytest.approx(0.5 * 1.01)}}
    resumed = AdaptiveKL(target=0.1, horizon=20)
    GroupRelative(reward_kl_coef=0.5, kl_control=resumed).load_state_dict(state)
    assert after_a_phase(resumed)["kl_control"]["coef"] == pytest.approx(0.5 * 1.01**2)
    far = after_a_phase(AdaptiveKL(target=0.01, horizon=20))
    assert far["kl_control"]["coef"] == pytest.approx(0.5 * 1.02)  # an error of 10 counts as 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kl_coef": 0.1, "reward_kl_coef": 0.1}, "would pay the KL twice"),
        ({"reward_kl_coef": -1.0}, "algorithm.reward_kl_coef must be a finite number from 0 on"),
        ({"kl_control": AdaptiveKL()}, "kl_control needs algorithm.reward_kl_coef above 0"),
        ({"over_turn": "maybe"}, "over_turn must be one of none, gradient, statistics"),
        ({"estimator": LeaveOneOut(), "scale_by_std": False}, "no effect with algorithm.estimator"),
        ({"estimator": ByParts(), "reward_kl_coef": 0.1}, "reward_kl_coef cannot be used with"),
        ({"estimator": ByParts(), "centre_shaping": True}, "centre_shaping cannot be used with"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GroupRelative(**settings)


def test_a_group_of_one_is_named() -> None:
    with pytest.raises(ValueError, match="group 'a': a group needs at least two"):
        advantages([[RIGHT]])


def test_with_a_critic_nobody_need_be_compared_with() -> None:
    algorithm = GroupRelative(estimator=GAE(), mask_truncated=True, over_turn="statistics")
    assert algorithm.needs_critic
    group = [RIGHT, OVER]
    num = [sum(one.rollout.loss_mask) for one in group]
    readings = [TokenReadings((), values=(0.25,) * n) for n in num]
    (found,) = algorithm.credit([group], readings=[readings])
    right, over = found
    mask = RIGHT.rollout.loss_mask
    assert right.advantages == tuple(0.75 * m for m in mask)
    assert right.returns == tuple(1.0 * m for m in mask)
    assert not any(over.loss_mask)
    assert not any(over.returns)
    assert len(over.returns) == len(over.loss_mask)
