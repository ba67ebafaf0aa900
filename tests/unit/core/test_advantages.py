import math

import pytest

from tests import builders
from vigorl.core.advantages import (
    Credit,
    Normalization,
    group_advantages,
    token_weights,
    turn_credit,
)


def test_group_advantages_by_hand():
    # mean 0.25; deviations 0.75 and 3 x -0.25; sample variance (0.5625 + 3 * 0.0625) / 3 = 0.25
    assert group_advantages([1, 0, 0, 0], eps=0.0) == pytest.approx([1.5, -0.5, -0.5, -0.5])
    assert group_advantages([1, 0, 0, 0], scale_by_std=False) == [0.75, -0.25, -0.25, -0.25]


def test_equal_rewards_teach_nothing():
    assert group_advantages([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]  # not 1e-17 / 1e-6


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_group_advantages_refuses(bad):
    with pytest.raises(ValueError, match=r"two rollouts|finite"):
        group_advantages(bad)


def test_token_weights_by_hand():
    assert token_weights([1, 3], normalization=Normalization.TOKEN_MEAN) == [0.25, 0.25]
    assert token_weights([2, 4], normalization=Normalization.SEQUENCE_MEAN) == [0.25, 0.125]
    constant = Normalization.CONSTANT_LENGTH
    assert token_weights([2, 4], normalization=constant, constant_length=10) == [0.05, 0.05]
    assert token_weights([2, 4], normalization=Normalization.SEQUENCE_SUM) == [0.5, 0.5]
    assert token_weights([2, 4], normalization=Normalization.TOKEN_SUM) == [1.0, 1.0]
    groups, prompts = ["a", "b", "a"], Normalization.PROMPT_MEAN  # 1 / (2 prompts * 5 or 4 tokens)
    assert token_weights([2, 4, 3], normalization=prompts, groups=groups) == [0.1, 0.125, 0.1]
    assert token_weights([0, 4, 0], normalization=prompts, groups=groups) == [0.0, 0.125, 0.0]


def test_an_empty_sequence_weighs_nothing_but_counts_as_a_sequence():
    assert token_weights([0, 4], normalization=Normalization.SEQUENCE_MEAN) == [0.0, 0.125]


def test_token_weights_refuses():
    with pytest.raises(ValueError, match="no token"):
        token_weights([0, 0], normalization=Normalization.TOKEN_MEAN)
    with pytest.raises(ValueError, match="constant_length"):
        token_weights([1], normalization=Normalization.CONSTANT_LENGTH)
    with pytest.raises(ValueError, match="which prompt"):
        token_weights([1], normalization=Normalization.PROMPT_MEAN)


def test_a_turns_credit_is_that_of_its_sampled_tokens():
    # two turns of four sampled tokens; the first is followed by three of the environment
    rollout = builders.rollout()
    credit = turn_credit(rollout, [2.0, -1.0])
    prompt = len(rollout.prompt_ids)
    assert credit.advantages == (0.0,) * prompt + (2.0,) * 4 + (0.0,) * 3 + (-1.0,) * 4
    assert credit.loss_mask == rollout.loss_mask
    assert credit.mean_advantage(rollout) == 0.5  # (4 * 2 - 4 * 1) / 8
    masked = turn_credit(rollout, [2.0, -1.0], is_learned=False)
    assert not any(masked.loss_mask)
    assert masked.mean_advantage(rollout) == 0.5
    with pytest.raises(ValueError, match="zip"):
        turn_credit(rollout, [1.0])


def test_one_advantage_for_all_tokens_is_the_mean_to_the_last_digit():
    rollout = builders.rollout(builders.answer_turn(num_tokens=3))
    advantage = 1.4448403485623547  # three times this, divided by three, is another number
    assert turn_credit(rollout, [advantage]).mean_advantage(rollout) == advantage
    nothing = Credit((0.0,) * len(rollout.token_ids), rollout.loss_mask)
    assert nothing.mean_advantage(rollout) == 0.0
