import pytest

from tests import builders
from vigorl.core.rollout import RewardBreakdown, Rollout, StopReason
from vigorl.rollout.experience import (
    drop_flat_groups,
    flat_groups,
    score_groups,
    score_rollouts,
    training_samples,
)


class IsRed:
    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        value = float(rollout.answer == "red")
        return RewardBreakdown(value, {"accuracy": value})


def rollouts() -> list[Rollout]:
    right, wrong = builders.answer_turn(), builders.answer_turn("blue")
    cut = StopReason.TURN_LENGTH
    return [
        builders.rollout(right, group="a", index=0),
        builders.rollout(right, group="b", index=0),
        builders.rollout(wrong, group="a", index=1, stop_reason=cut),
        builders.rollout(right, group="b", index=1),
    ]


def test_advantages_stay_inside_the_group_and_in_order() -> None:
    scored = score_groups(rollouts(), IsRed(), eps=0.0)
    # group a: rewards 1, 0: mean 0.5, sample std sqrt(0.5), so +-0.5 / sqrt(0.5); group b is flat
    assert [one.advantage for one in scored] == pytest.approx([0.5**0.5, 0, -(0.5**0.5), 0])
    mean_only = score_groups(rollouts(), IsRed(), scale_by_std=False)
    assert [one.advantage for one in mean_only] == [0.5, 0.0, -0.5, 0.0]
    assert [one.reward.parts["accuracy"] for one in scored] == [1.0, 1.0, 0.0, 1.0]


def test_flat_groups_are_counted_and_only_dropped_on_request() -> None:
    scored = score_groups(rollouts(), IsRed())
    assert flat_groups(scored) == ["b"]
    kept, num_dropped = drop_flat_groups(scored)
    assert ([one.rollout.group for one in kept], num_dropped) == (["a", "a"], 1)
    assert len(training_samples(scored)) == 4


def test_a_group_of_one_is_named() -> None:
    with pytest.raises(ValueError, match="group 'a'"):
        score_groups(rollouts()[:1], IsRed())
    assert score_rollouts(rollouts()[:1], IsRed())[0].advantage == 0.0


def test_samples_are_the_rollouts() -> None:
    scored = score_groups(rollouts(), IsRed())
    sample, rollout = training_samples(scored)[0], scored[0].rollout
    assert sample.token_ids == rollout.token_ids
    assert sample.loss_mask == rollout.loss_mask
    assert sample.sampling_logprobs == rollout.sampling_logprobs
    assert sample.views == rollout.views
    assert sample.advantage == scored[0].advantage


def test_truncated_rollouts_can_be_kept_from_the_gradient() -> None:
    scored = score_groups(rollouts(), IsRed())
    masked = training_samples(scored, mask_truncated=True)
    assert [any(sample.loss_mask) for sample in masked] == [True, True, False, True]
    assert masked[2].advantage == scored[2].advantage  # it still counted in the group
    assert all(any(sample.loss_mask) for sample in training_samples(scored))
