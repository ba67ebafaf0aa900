"""My own reward that sees the whole group: a right answer counts more where few found it.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs reward=my_group_reward

It fades as the run goes on, and is logged as `reward/rarity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.protocols import Progress
from vigorl.core.rollout import RewardBreakdown, Rollout


@dataclass(frozen=True, slots=True)
class RarityReward:
    """The share of the group that is not wholly right, times the share of the run that is left, for
    rollouts that are; 0 for all others.
    """

    @property
    def name(self) -> str:
        return "rarity"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        is_right = [rollout.score == 1.0 for rollout in rollouts]
        rarity = 1.0 - sum(is_right) / len(is_right)
        return [rarity * (1.0 - progress.fraction) if right else 0.0 for right in is_right]
