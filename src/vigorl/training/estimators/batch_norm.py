"""A second z-score, over all that another estimator has given for the phase.

Over rollouts, after a z-score in the group, it is BN-GSPO's and multiplies by a constant: z-scores
of a group sum to 0 and have squares that sum to G - 1, so with a share f of groups that have a
spread the mean is 0 and the population std sqrt(f (G - 1) / G). It is a scale that grows as groups
go flat. Over mean-only advantages it is one scale for all prompts. Over tokens it is what
REINFORCE++ and verl's GDPO call whitening: long rollouts count more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Estimate, Estimator, Group, moments
from vigorl.training.readings import Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormalized(Estimator):
    """(A - mean) / std of the whole phase, over all ranks, in double precision.

    Attributes:
        inner: Whose advantages.
        over: "rollouts", each by its mean token, or "tokens".
        is_population: The std divides by the number, not by one less.
        eps: Added to the std, in units of `inner`; to the variance with `eps_in_root`.
        eps_in_root: 1 / sqrt(variance + eps), as verl's whitening.
        keep_flat: A group whose advantages are all 0 keeps them: a shift of the mean would make it
            teach something. False is as released.
    Raises:
        ConfigError: A setting out of its range.
    Source: SenseNova-MARS, arXiv:2512.24330, `apply_batch_norm` in `core_algos.py` at ce052d7
        (rollouts, population, eps 1e-9; off in its own script); REINFORCE++ arXiv:2501.03262;
        `masked_whiten` of verl at 1dda039b9 (tokens, sample, eps 1e-8 in the root).
    """

    inner: Estimator
    over: Literal["rollouts", "tokens"] = "rollouts"
    is_population: bool = True
    eps: NotNegative = 1e-9
    eps_in_root: bool = False
    keep_flat: bool = True

    @property
    def reads(self) -> Reads:
        return self.inner.reads

    @property
    def needs_critic(self) -> bool:
        return self.inner.needs_critic

    @property
    def refuses(self) -> frozenset[str]:
        return self.inner.refuses

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        found = self.inner.advantages(groups)
        seen = moments([value for group in found for one in group for value in self._seen(one)])
        variance = seen.population_variance if self.is_population else seen.variance
        if self.eps_in_root:
            scale = math.sqrt(variance + self.eps)
        else:
            scale = math.sqrt(variance) + self.eps
        return [self._normalized(group, seen.mean, scale) for group in found]

    def _seen(self, one: Estimate) -> Sequence[float]:
        tokens = [value for turn in one.values for value in turn]
        if self.over == "tokens" or not tokens:
            return tokens
        return [tokens[0] if min(tokens) == max(tokens) else fmean(tokens)]

    def _normalized(self, group: list[Estimate], mean: float, scale: float) -> list[Estimate]:
        is_flat = not any(value for one in group for turn in one.values for value in turn)
        if (is_flat and self.keep_flat) or not scale:
            return group
        return [
            replace(one, values=[[(v - mean) / scale for v in turn] for turn in one.values])
            for one in group
        ]
