"""More rollouts of a prompt than are learned from: generating is cheap beside a step, so a few that
say most are picked of many.

    max_variance   the lowest and the highest rewards, at the cut where they differ most (PODS)
    shortest       the shortest rollouts, right or wrong: answers become shorter (GFPO)
    efficient      the most reward per sampled token (GFPO)

The group is then the picked rollouts alone: mean and spread are theirs.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.ranges import AtLeastTwo
from vigorl.core.rollout import ScoredRollout
from vigorl.training.groups.method import GroupMethod


class Rule(StrEnum):
    """Which rollouts of a group are picked."""

    MAX_VARIANCE = "max_variance"
    SHORTEST = "shortest"
    EFFICIENT = "efficient"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownSampling(GroupMethod):
    """A `GroupMethod`.

    Attributes:
        factor: Rollouts of a prompt, times `plan.group_size`; at least 2.
        rule: Which are picked.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: PODS, arXiv:2504.13818 (max-variance is one of the n - m + 1 cuts of the sorted
        rewards; 64 generated, 16 kept); GFPO, arXiv:2508.09726 (8, 16 or 24 generated, 8 kept at
        most; both metrics).
    """

    factor: AtLeastTwo = 4
    rule: Rule | str = Rule.MAX_VARIANCE

    def rollouts_per_prompt(self, group_size: int) -> int:
        return group_size * self.factor

    def pick(self, group: Sequence[ScoredRollout], *, group_size: int) -> list[int]:
        rewards = [one.reward.total for one in group]
        if self.rule == Rule.MAX_VARIANCE:
            return _most_different(rewards, group_size)
        lengths = [max(sum(one.rollout.loss_mask), 1) for one in group]
        costs = [float(length) for length in lengths]
        if self.rule == Rule.EFFICIENT:
            costs = [-reward / length for reward, length in zip(rewards, lengths, strict=True)]
        return sorted(sorted(range(len(group)), key=lambda i: (costs[i], i))[:group_size])


def _most_different(rewards: Sequence[float], count: int) -> list[int]:
    """Those of the largest variance: i of the lowest and count - i of the highest, for some i."""
    order = sorted(range(len(rewards)), key=lambda i: (rewards[i], i))
    cuts = [order[:i] + order[len(order) - (count - i) :] for i in range(count + 1)]
    best = max(cuts, key=lambda cut: statistics.pvariance([rewards[i] for i in cut]))
    return sorted(best)
