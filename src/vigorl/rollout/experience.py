"""From finished rollouts to what is learned from: reward, advantage in the group, sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from vigorl.core.advantages import group_advantages
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, TrainingSample


class RolloutScorer(Protocol):
    """A weighted sum of rewards, such as `core.rewards.composite`."""

    def breakdown(self, rollout: Rollout) -> RewardBreakdown: ...


def score_rollouts(rollouts: Iterable[Rollout], reward: RolloutScorer) -> list[ScoredRollout]:
    """Rewards without advantages: evaluation, where a group may have one rollout."""
    return [ScoredRollout(rollout, reward.breakdown(rollout)) for rollout in rollouts]


def score_groups(
    rollouts: Sequence[Rollout],
    reward: RolloutScorer,
    *,
    scale_by_std: bool = True,
    eps: float = 1e-6,
) -> list[ScoredRollout]:
    """Rewards and advantages, in the order of the rollouts; groups may be interleaved.

    A truncated rollout counts in its group's mean and spread like any other (as in the released
    code).

    Args:
        rollouts: Whole groups, at least two rollouts each.
        reward: Scores one rollout.
        scale_by_std: See `core.advantages.group_advantages`.
        eps: See there.
    Raises:
        ValueError: A group of one, or a reward that is not finite; names the group.
    """
    scored = score_rollouts(rollouts, reward)
    for group, members in _by_group(scored).items():
        totals = [scored[i].reward.total for i in members]
        try:
            advantages = group_advantages(totals, scale_by_std=scale_by_std, eps=eps)
        except ValueError as error:
            raise ValueError(f"group {group!r}: {error}") from error
        for i, advantage in zip(members, advantages, strict=True):
            scored[i] = replace(scored[i], advantage=advantage)
    return scored


def flat_groups(scored: Sequence[ScoredRollout]) -> list[str]:
    """Names of the groups whose rewards are all equal: they carry no gradient (besides KL)."""
    return [
        group
        for group, members in _by_group(scored).items()
        if len({scored[i].reward.total for i in members}) == 1
    ]


def drop_flat_groups(scored: Sequence[ScoredRollout]) -> tuple[list[ScoredRollout], int]:
    """The rollouts of groups with different rewards, and how many GROUPS were left out."""
    flat = set(flat_groups(scored))
    return [one for one in scored if one.rollout.group not in flat], len(flat)


def training_samples(
    scored: Sequence[ScoredRollout], *, mask_truncated: bool = False
) -> list[TrainingSample]:
    """One sample per scored rollout, in order; never fewer, so that a planned buffer length holds.

    Args:
        scored: With advantages.
        mask_truncated: Zero the loss mask of rollouts that a limit ended (DAPO's overlong
            filtering): no gradient from them.
    Returns:
        Samples with `token_weight` 1.0; whoever cuts the optimizer batches sets it
        (`core.advantages.token_weights`).
    """
    return [_sample(one, is_masked=mask_truncated and one.rollout.stop_reason.is_truncated)
            for one in scored]  # fmt: skip


def _sample(scored: ScoredRollout, *, is_masked: bool) -> TrainingSample:
    rollout = scored.rollout
    mask = rollout.loss_mask
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=(0,) * len(mask) if is_masked else mask,
        views=rollout.views,
        sampling_logprobs=rollout.sampling_logprobs,
        advantage=scored.advantage,
    )


def _by_group(scored: Sequence[ScoredRollout]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(scored):
        groups.setdefault(one.rollout.group, []).append(i)
    return groups
