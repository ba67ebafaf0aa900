"""PeBR-R1's perception rewards, and where they are paid: on prompts whose answers are all right.

There the outcome reward is silent, so that a reward of perception does not interfere with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress, Reward
from vigorl.core.rewards.unit import UnitReward, check_shares
from vigorl.core.rewards.visual_facts import facts_of, share_said
from vigorl.core.rewards.words import said_by, tag_list
from vigorl.core.rollout import RewardBreakdown, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWordReward(UnitReward):
    """Share of the task's key words that the response names, less that of the false ones.

    Key words are the tag "key_words"; without it, the facts (`visual_facts.facts_of`). The release
    looks for them anywhere in the response, where naming every word there is pays too.

    Attributes:
        false_weight: What naming all false facts costs; the paper 0.
    Source: PeBR-R1, arXiv:2509.13031; cythu/PeBR-R1@0f332ce, examples/reward_function/pebr_1.py.
    """

    false_weight: float = 0.0
    name: str = "key_words"

    def __post_init__(self) -> None:
        check_shares(self.name, false_weight=self.false_weight)

    def __call__(self, rollout: Rollout) -> float:
        true, false = facts_of(rollout.task)
        true, said = tag_list(rollout.task, "key_words") or true, said_by(rollout)
        return max(share_said(said, true) - self.false_weight * share_said(said, false), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhereSolvedReward:
    """A reward that is paid in groups whose answers are all wholly right, and nowhere else.

    The paper splits prompts once, by eight rollouts of the start (8/8: perception; 0/8: neither),
    and trains two stages; here each group decides anew. A wrong answer is never paid.

    Attributes:
        reward: What is paid there.
        from_fraction: Share of the run before which nothing is paid.
    """

    reward: Reward
    from_fraction: float = 0.0
    name: str = "where_solved"

    def __post_init__(self) -> None:
        if not isinstance(self.reward, Reward):
            raise ConfigError(f"reward {self.name!r}: {self.reward!r} is not a Reward")
        check_shares(self.name, from_fraction=self.from_fraction)

    @property
    def range(self) -> tuple[float, float]:
        low, high = self.reward.range
        return (min(low, 0.0), max(high, 0.0))

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        is_paid = progress.fraction >= self.from_fraction
        if not is_paid or any(rollout.score != 1.0 for rollout in rollouts):
            return [0.0] * len(rollouts)
        return [self.reward(rollout) for rollout in rollouts]
