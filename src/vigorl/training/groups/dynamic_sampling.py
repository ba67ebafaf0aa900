"""DAPO's dynamic sampling: ask further prompts until enough groups differ in accuracy.

    round 0     ask oversample x prompts_per_phase       keep the groups with a spread
    round 1 ... too few? ask again, up to max_batches    the first prompts_per_phase of them are
                                                         learned from, the surplus is cut

At the cap a phase learns from what there is, and its other places are idle: peers whose trainer
stops there lose runs to it (DAPO issues 22 and 28, verl issue 953). Learning rates and phases count
updates, never rounds.

The price is generation without a plan: a phase costs up to max_batches times what it would. A
sampler that avoids such prompts (`training.samplers.solve_rate`) costs nothing but comes late, by
one group per prompt; both work together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.ranges import AtLeastOne, FromOne
from vigorl.training.groups.method import (
    Choice,
    GroupFacts,
    GroupMethod,
    Metric,
    mixed_first,
)


class Refill(StrEnum):
    """How many prompts a further round asks."""

    BATCH = "batch"  # as many as the first, as the paper's trainer does
    # ours: as many as groups are missing, by the share that was kept so far
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSampling(GroupMethod):
    """A `GroupMethod`.

    Attributes:
        metric: What must differ within a group; see `Metric`.
        oversample: Prompts of the first round, times `plan.prompts_per_phase`; at least 1.
        refill: Prompts of further rounds.
        max_batches: Rounds of a phase, the first included.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:2503.14476 section 3.2, eq. 11. Its released script has gen_prompt_bsz = 3 x
        train_prompt_bsz, filter_groups.metric=acc and max_num_gen_batches=10 (verl recipe/dapo).
    """

    metric: Metric | str = Metric.ACCURACY
    oversample: FromOne = 1.0
    refill: Refill | str = Refill.BATCH
    max_batches: AtLeastOne = 10

    def num_prompts(self, facts: Sequence[GroupFacts], *, wanted: int, round: int) -> int:
        batch = math.ceil(wanted * self.oversample)
        num_kept = sum(one.has_spread(self.metric) for one in facts)
        if round == 0:
            return batch
        if round == self.max_batches or num_kept >= wanted:
            return 0
        if self.refill == Refill.BATCH or not num_kept:
            return batch
        return min(math.ceil((wanted - num_kept) * len(facts) / num_kept), batch)

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        return Choice(mixed_first(facts, self.metric, wanted=wanted))
