"""Groups whose rollouts are all equally right are not learned from.

Their places keep an empty loss mask: `token_mean` averages over the tokens of the other groups
alone. Kept, with an advantage of 0, they count in that mean, so a phase that is half flat takes
steps of half the size. Means over sequences and constant lengths still divide by all places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.training.groups.method import (
    Choice,
    GroupFacts,
    GroupMethod,
    Metric,
    mixed_first,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFlat(GroupMethod):
    """A `GroupMethod` at no cost.

    Attributes:
        metric: What must differ within a group; see `Metric`.
    Raises:
        ConfigError: An unknown metric.
    Source: the filter of DAPO (arXiv:2503.14476) without its refill; SkyRL's
        `zero_variance_filter` (a9564572e) likewise sets the mask to 0.
    """

    metric: Metric | str = Metric.ACCURACY

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        return Choice(mixed_first(facts, self.metric, wanted=wanted))
