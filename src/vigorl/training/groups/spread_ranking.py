"""PyVision-RL's oversample, filter, rank: more prompts than are learned from, rollouts that broke
off left out, and of the groups whose rewards differ those with the largest spread.

The spread is the reward's, not accuracy's: its tool bonus (paid on right answers alone) is meant to
count, so groups near half right and those that differ in their looks come first. With a shaped
reward that pays wrong answers it would prefer noise; see `method.Metric`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.ranges import FromOne
from vigorl.core.rollout import ScoredRollout
from vigorl.training.groups.method import (
    SMALLEST_SPREAD,
    Choice,
    GroupFacts,
    GroupMethod,
    Metric,
    is_whole,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRanking(GroupMethod):
    """A `GroupMethod`.

    Attributes:
        oversample: Prompts of a phase, times `plan.prompts_per_phase`; at least 1.
        metric: Whose standard deviation ranks groups.
        drop_broken: Rollouts that a limit on tokens, or a refusal, ended are not learned from and
            not compared with; the turn limit ends a rollout as well as an answer does.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:2602.20739 (32 prompts, 16 kept); agents-x-project/PyVision-RL 62ca599,
        verl_agents/verl/trainer/ppo/{ray_trainer,filter_fn_utils}.py. There also rollouts whose
        pictures and placeholders do not match, and those without a picture, are dropped: neither
        happens here.
    """

    oversample: FromOne = 2.0
    metric: Metric | str = Metric.REWARD
    drop_broken: bool = True

    def num_prompts(self, facts: Sequence[GroupFacts], *, wanted: int, round: int) -> int:
        return math.ceil(wanted * self.oversample) if round == 0 else 0

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        spreads = {one.number: self._spread(one) for one in facts}
        ranked = sorted(spreads, key=lambda number: (-spreads[number], number))
        return Choice(tuple(n for n in ranked if spreads[n] > SMALLEST_SPREAD)[:wanted])

    def pick(self, group: Sequence[ScoredRollout], *, group_size: int) -> list[int]:
        whole = [i for i, one in enumerate(group) if is_whole(one.rollout) or not self.drop_broken]
        return whole[:group_size]

    def _spread(self, group: GroupFacts) -> float:
        """Standard deviation (n) of the rollouts that count; 0 of fewer than two."""
        values = [
            value
            for value, is_fine in zip(group.values(self.metric), group.is_whole, strict=True)
            if is_fine or not self.drop_broken
        ]
        return statistics.pstdev(values) if len(values) > 1 else 0.0
