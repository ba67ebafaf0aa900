"""What GRPO and its kin share: a rollout's reward against those of its group is the advantage of
all its tokens, and a KL to the reference may be paid as a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import Credit, group_advantages, turn_credit
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout
from vigorl.models.losses import KLEstimator


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRelative:
    """The settings and answers of an `Algorithm` that weighs and sums tokens in its own way.

    Attributes:
        kl_coef: What a nat of KL to the reference costs, at least 0.
        kl_estimator: Whose gradient that KL has; see `models.losses.KLEstimator`.
        scale_by_std: Advantages are divided by the group's spread.
        min_std: The least spread that they are divided by, in reward units; 0 is the released code.
            A spread of the size of a bonus alone, where all of a group are right, then stays small.
        mask_truncated: Nothing is learned from rollouts that a limit ended (DAPO's overlong
            filtering); they count in their group's mean and spread like any other, as in the
            released code.
    Raises:
        ConfigError: A setting out of its range.
    """

    kl_coef: float = 0.0
    kl_estimator: KLEstimator | str = KLEstimator.K3
    scale_by_std: bool = True
    min_std: float = 0.0
    mask_truncated: bool = False

    def __post_init__(self) -> None:
        if self.kl_coef < 0:
            raise ConfigError(f"algorithm.kl_coef must be at least 0, got {self.kl_coef}")
        if self.kl_estimator not in list(KLEstimator):
            raise ConfigError(
                f"algorithm.kl_estimator must be one of {', '.join(KLEstimator)}, "
                f"got {self.kl_estimator!r}"
            )
        if self.kl_estimator == KLEstimator.K1:
            raise ConfigError(
                "algorithm.kl_estimator=k1 holds nothing: as a loss its gradient has a mean of 0 "
                "over the policy's samples; set k2 or k3_corrected"
            )
        if self.kl_estimator != KLEstimator.K3 and not self.kl_coef:
            raise ConfigError("algorithm.kl_estimator has no effect with algorithm.kl_coef=0")
        if self.min_std < 0:
            raise ConfigError(f"algorithm.min_std must be at least 0, got {self.min_std}")
        if self.min_std and not self.scale_by_std:
            raise ConfigError("algorithm.min_std has no effect with algorithm.scale_by_std=false")

    @property
    def needs_reference(self) -> bool:
        return self.kl_coef > 0

    @property
    def needs_old(self) -> bool:
        return True

    @property
    def needs_zero_advantages(self) -> bool:
        return self.kl_coef > 0

    def credit(self, groups: Sequence[Sequence[ScoredRollout]]) -> list[list[Credit]]:
        return [self._group_credit(group) for group in groups]

    def _group_credit(self, group: Sequence[ScoredRollout]) -> list[Credit]:
        rewards = [one.reward.total for one in group]
        try:
            advantages = group_advantages(
                rewards, scale_by_std=self.scale_by_std, min_std=self.min_std
            )
        except ValueError as error:
            raise ValueError(f"group {group[0].rollout.group!r}: {error}") from error
        return [
            turn_credit(
                one.rollout,
                [advantage] * len(one.rollout.turns),
                is_learned=not (self.mask_truncated and one.rollout.stop_reason.is_truncated),
            )
            for one, advantage in zip(group, advantages, strict=True)
        ]
