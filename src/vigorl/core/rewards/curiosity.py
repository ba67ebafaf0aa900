"""Curiosity: a bonus for using a tool while few of the group do, and a price on many looks.

A policy that seldom looks never finds out what looking is good for: of the rollouts of one prompt
none looks, nothing is compared, and the tool dies out (the paper's "learning trap"). The bonus acts
in mixed groups and ends by itself once enough of a group look.

What was left out of the paper's release: a bonus divided by the rate, and right answers set to 0
after a call that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.core.rewards.composite import WeightedReward
from vigorl.core.rewards.recipes import single_turn_reward
from vigorl.core.rollout import RewardBreakdown, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class CuriosityReward:
    """bonus * max(target_rate - rate, 0) if the rollout looked, - penalty * max(looks - free, 0).

    The rate is the share of the group's rollouts that looked; calls that failed are no looks.

    Attributes:
        bonus: Reward per unit of the rate that is missing, >= 0.
        target_rate: Share of a group's rollouts above which nothing is paid, in [0, 1].
        penalty: Price of each look after the free ones, >= 0.
        free_looks: Looks without a price, >= 0.
        max_penalty: The most that looks can cost a rollout, >= 0.
        only_if_correct: Pay the bonus only on wholly right answers; False is the paper.
    Raises:
        ConfigError: A setting out of its range.
    Source: Pixel Reasoner, arXiv:2505.15966, section 4 (0.5, 0.3, 0.05, 1; no limit on the price).
    """

    bonus: float = 0.5
    target_rate: float = 0.3
    penalty: float = 0.05
    free_looks: int = 1
    max_penalty: float = 0.15
    only_if_correct: bool = True

    def __post_init__(self) -> None:
        if min(self.bonus, self.penalty, self.free_looks, self.max_penalty) < 0:
            raise ConfigError("curiosity: bonus, penalty, free_looks, max_penalty must be >= 0")
        if not 0 <= self.target_rate <= 1:
            raise ConfigError(f"curiosity: target_rate={self.target_rate} must be in [0, 1]")

    @property
    def name(self) -> str:
        return "curiosity"

    @property
    def range(self) -> tuple[float, float]:
        return (-self.max_penalty, self.bonus * self.target_rate)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        rate = sum(bool(rollout.looks) for rollout in rollouts) / len(rollouts)
        bonus = self.bonus * max(self.target_rate - rate, 0.0)
        return [
            (bonus if self._is_paid(rollout) else 0.0) - self._price(rollout)
            for rollout in rollouts
        ]

    def _is_paid(self, rollout: Rollout) -> bool:
        return bool(rollout.looks) and (rollout.score == 1.0 or not self.only_if_correct)

    def _price(self, rollout: Rollout) -> float:
        extra = max(len(rollout.looks) - self.free_looks, 0)
        return min(self.penalty * extra, self.max_penalty)


def curiosity_reward(
    *,
    accuracy_weight: float = 0.8,
    format_weight: float = 0.2,
    require_points: bool = True,
    bonus: float = 0.5,
    target_rate: float = 0.3,
    penalty: float = 0.05,
    free_looks: int = 1,
    max_penalty: float = 0.15,
    only_if_correct: bool = True,
) -> WeightedReward:
    """Accuracy, format and curiosity.

    No wrong answer outscores a right one. A right answer scores at least a - p, with a the weight
    of accuracy and p the highest price of looks; any other at most a/2 + f, as in
    `recipes.grounded_zoom_reward`, since the bonus is for right answers alone; and a/2 + f <= a - p
    is enforced. With the defaults: 0.6 < 0.65. With `only_if_correct=False`, the paper's form, the
    bonus b of a wrong answer counts too: a/2 + f + b; with the paper's bonus 0.75 > 0.65.

    Args:
        accuracy_weight: For the right answer.
        format_weight: For the grammar.
        require_points: Thoughts must point for the format.
        bonus: See `CuriosityReward`, as for all that follow.
        target_rate: See there.
        penalty: See there.
        free_looks: See there.
        max_penalty: See there.
        only_if_correct: See there.
    Raises:
        ConfigError: A setting out of its range, or a wrong answer could outscore a right one.
    """
    curiosity = CuriosityReward(
        bonus=bonus,
        target_rate=target_rate,
        penalty=penalty,
        free_looks=free_looks,
        max_penalty=max_penalty,
        only_if_correct=only_if_correct,
    )
    if only_if_correct and accuracy_weight / 2 + format_weight > accuracy_weight - max_penalty:
        raise ConfigError(
            f"curiosity: max_penalty={max_penalty:g} lets a wrong answer outscore a right one with "
            f"accuracy_weight={accuracy_weight:g} and format_weight={format_weight:g}"
        )
    own = single_turn_reward(
        accuracy_weight=accuracy_weight,
        format_weight=format_weight,
        require_points=require_points,
    )
    return WeightedReward("curiosity", own.parts, [(curiosity, 1.0)])
