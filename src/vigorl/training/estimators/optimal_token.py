"""The optimal token baseline: at each position the mean return of the group, weighted by how much
variance a rollout has gathered on its way there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Estimate, Estimator, Group, Rated
from vigorl.training.estimators.return_to_go import ReturnToGo
from vigorl.training.readings import Reads

_RETURNS = ReturnToGo()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimalToken(Estimator):
    """A_t = G_t - B_t, B_t = sum_i G_it W_it / (sum_i W_it + eps), over the rollouts of the group
    that have a sampled token at position t; W_it = sum_{j <= t} (1 - 2 p_j + sum_v p_v^2).

    Where the longest rollout of a group goes on alone its baseline is 0, as released; likewise in a
    group of one.

    Attributes:
        over_sampled: Positions count sampled tokens alone, the variant for tool use. False counts
            observations too (a picture as one token), so at most positions of a second turn some
            rollouts have none.
        eps: As released.
    Source: `compute_optimal_token_baseline_advantage` and `compute_multi_turn_...` of verl at
        1dda039b9. Left out: its weights by an engine's correction.
    """

    over_sampled: bool = True
    eps: NotNegative = 1e-8

    @property
    def reads(self) -> Reads:
        return Reads.SQUARES

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        return [self._of_group(group) for group in groups]

    def _of_group(self, group: Group) -> list[Estimate]:
        returns = [_RETURNS.returns(one) for one in group]
        energies = [_energies(one) for one in group]
        places = [self._places(one) for one in group]
        sums: dict[int, tuple[float, float]] = {}
        for row in zip(returns, energies, places, strict=True):
            for gain, energy, place in zip(*row, strict=True):
                paid, weight = sums.get(place, (0.0, 0.0))
                sums[place] = (paid + gain * energy, weight + energy)
        longest, second = ([0, 0, *sorted(map(len, returns))])[:-3:-1]
        estimates = []
        for one, gains, where in zip(group, returns, places, strict=True):
            alone = second if len(gains) == longest > second else math.inf
            found = [
                gain - (0.0 if place >= alone else sums[place][0] / (sums[place][1] + self.eps))
                for gain, place in zip(gains, where, strict=True)
            ]
            estimates.append(Estimate(one.by_turn(found)))
        return estimates

    def _places(self, one: Rated) -> list[int]:
        """[N] the position of each sampled token after the prompt."""
        if self.over_sampled:
            return list(range(one.num_tokens))
        response = one.rollout.loss_mask[len(one.rollout.prompt_ids) :]
        return [place for place, is_sampled in enumerate(response) if is_sampled]


def _energies(one: Rated) -> list[float]:
    """[N] W of each sampled token."""
    assert one.readings is not None
    read = zip(one.readings.old_logprobs, one.readings.squared_probs, strict=True)
    return list(accumulate(1 - 2 * math.exp(logprob) + squares for logprob, squares in read))
