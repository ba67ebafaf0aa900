"""The rewards to train with, each one total made of named parts.

`grounded_zoom_reward` and `single_turn_reward` are the defaults; in both a wrong answer can never
outscore a right one. `vigorl_paper` and `vigorl_released` are for reproduction; only there can it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Reward
from vigorl.core.rewards.accuracy import AccuracyReward
from vigorl.core.rewards.composite import WeightedReward
from vigorl.core.rewards.format import FormatReward
from vigorl.core.rewards.released import ReleasedAccuracyReward, ReleasedFormatReward
from vigorl.core.rewards.zoom import ZoomDiversityReward
from vigorl.core.rollout import Rollout


def grounded_zoom_reward(
    *,
    accuracy_weight: float = 0.6,
    format_weight: float = 0.2,
    diversity_weight: float = 0.25,
    max_zooms: int = 4,
    require_points: bool = True,
) -> WeightedReward:
    """The default for multi-turn training; range [0, 1] with the default weights.

    accuracy_weight * accuracy + format_weight * format + diversity_weight * zoom_diversity, where
    zoom_diversity is 0.2 per distinct place, at most `max_zooms` of them, on right answers only.

    No wrong answer outscores a right one. Let a, f, d be the weights. A right answer (accuracy 1)
    scores at least a. Any other has accuracy <= 0.5 (a half-right web action; no scorer of this
    house gives an answer that is not wholly right more), format <= 1 and diversity 0, so at most
    a/2 + f; and f <= a/2 is enforced. With the defaults: 0.5 < 0.6, and a wrong text or point
    scores at most 0.2.

    Raises:
        ConfigError: A weight is negative, or format_weight > accuracy_weight / 2.
    """
    _check_weights(accuracy_weight, format_weight, diversity_weight)
    parts: list[tuple[Reward, float]] = [
        (AccuracyReward(), accuracy_weight),
        (FormatReward(require_points=require_points), format_weight),
        (ZoomDiversityReward(max_points=max_zooms), diversity_weight),
    ]
    return WeightedReward("grounded_zoom", parts)


def single_turn_reward(
    *, accuracy_weight: float = 0.7, format_weight: float = 0.3, require_points: bool = True
) -> WeightedReward:
    """Accuracy and format for one look; the proof of `grounded_zoom_reward` holds with d = 0.

    Args:
        accuracy_weight: For the right answer.
        format_weight: For the grammar, at most half of `accuracy_weight`.
        require_points: False is vanilla GRPO, whose thoughts need no point.
    Raises:
        ConfigError: A weight is negative, or format_weight > accuracy_weight / 2.
    """
    _check_weights(accuracy_weight, format_weight)
    parts: list[tuple[Reward, float]] = [
        (AccuracyReward(), accuracy_weight),
        (FormatReward(require_points=require_points), format_weight),
    ]
    return WeightedReward("single_turn", parts)


def vigorl_paper(
    *, multi_turn: bool = True, require_points: bool = True, max_zooms: int = 4
) -> WeightedReward:
    """The reward as the paper's text has it.

    Multi-turn 0.6 * accuracy + 0.4 * format, single turn 0.5 / 0.5 (the paper says "weighted sum";
    the numbers are the released code's). Format needs every coordinate on the picture; in several
    turns it also holds +0.2 per distinct place, at most `max_zooms`, whatever the answer. So a
    WRONG answer with four places scores 0.4 * 1.8 = 0.72 and beats a right one whose format fails,
    0.6; use `grounded_zoom_reward` unless you reproduce the paper.
    """
    grammar = FormatReward(require_points=require_points)
    if not multi_turn:
        return WeightedReward("vigorl_paper", [(AccuracyReward(), 0.5), (grammar, 0.5)])
    bonus = ZoomDiversityReward(max_points=max_zooms, only_if_correct=False)
    busy = FormatWithBonusReward(grammar=grammar, bonus=bonus)
    return WeightedReward("vigorl_paper", [(AccuracyReward(), 0.6), (busy, 0.4)])


def vigorl_released(*, multi_turn: bool, require_points: bool = True) -> WeightedReward:
    """The reward as the released code computes it, bugs included; see `rewards.released`.

    Args:
        multi_turn: 0.6 / 0.4 and the uncapped bonus; False is 0.5 / 0.5 and one turn.
        require_points: Single turn only; False is the vanilla baseline.
    """
    accuracy_weight, format_weight = (0.6, 0.4) if multi_turn else (0.5, 0.5)
    parts: list[tuple[Reward, float]] = [
        (ReleasedAccuracyReward(multi_turn), accuracy_weight),
        (ReleasedFormatReward(multi_turn, require_points=require_points), format_weight),
    ]
    return WeightedReward("vigorl_released", parts)


@dataclass(frozen=True, slots=True)
class FormatWithBonusReward:
    """The paper's multi-turn format reward: the bonus is added when, and only when, format holds.

    Attributes:
        grammar: 0.0 or 1.0.
        bonus: What is added to 1.0.
    """

    grammar: FormatReward = field(default_factory=FormatReward)
    bonus: ZoomDiversityReward = field(
        default_factory=lambda: ZoomDiversityReward(only_if_correct=False)
    )

    @property
    def name(self) -> str:
        return "format"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0 + self.bonus.range[1])

    def __call__(self, rollout: Rollout) -> float:
        grammar = self.grammar(rollout)
        return grammar + self.bonus(rollout) if grammar else 0.0


def _check_weights(accuracy_weight: float, format_weight: float, *others: float) -> None:
    if min(accuracy_weight, format_weight, *others) < 0:
        raise ConfigError("reward weights must not be negative")
    if format_weight > accuracy_weight / 2:
        raise ConfigError(
            f"format_weight={format_weight:g} must be at most half of "
            f"accuracy_weight={accuracy_weight:g}, or a wrong answer could outscore a right one"
        )
