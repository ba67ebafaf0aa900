"""VOGUE: GRPO whose noisy rollouts get a bonus where their tokens depend on the noise, and where
the policy is unsure, in the advantage and detached, so milder than an entropy loss.

    A'_t = A_t + min(a_v U_t, |A_t| / b_v) + min(a_e H_t, |A_t| / b_e)     where U > 0 somewhere

The form is the likely one, not a published one: the constants a and b are the paper's, the capped
bonus that of entropy shaping as published elsewhere. With b of at least 1 each, and 1/b_v + 1/b_e
at most 1, no bonus turns a bad token into a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import FromOne, NotNegative
from vigorl.training.algorithms.grpo import GRPO

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs, LossOutput

SIGNAL = "visual_uncertainty"


@dataclass(frozen=True, slots=True, kw_only=True)
class VOGUE(GRPO):
    """GRPO with bonuses in the noisy branch; an `Algorithm`. Needs signals=[visual_uncertainty] and
    exploration=vogue.

    Attributes:
        uncertainty_weight: a_v, at least 0.
        uncertainty_cap: b_v, at least 1.
        entropy_weight: a_e, at least 0.
        entropy_cap: b_e, at least 1.
    Raises:
        ConfigError: A setting out of its range, or caps that let a bonus turn a sign.
    Source: arXiv:2510.01444, withdrawn from ICLR 2026 (1.0, 2.0, 0.4, 2.0).
    """

    uncertainty_weight: NotNegative = 1.0
    uncertainty_cap: FromOne = 2.0
    entropy_weight: NotNegative = 0.4
    entropy_cap: FromOne = 2.0

    def __post_init__(self) -> None:
        GRPO.__post_init__(self)
        if 1 / self.uncertainty_cap + 1 / self.entropy_cap > 1:
            raise ConfigError(
                "algorithm: 1/uncertainty_cap + 1/entropy_cap must be at most 1, or a bonus turns "
                f"a bad token good; got {self.uncertainty_cap} and {self.entropy_cap}"
            )

    @property
    def needs_signals(self) -> tuple[str, ...]:
        return (SIGNAL,)

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        return ()

    def loss(self, inputs: LossInputs) -> LossOutput:
        return GRPO.loss(self, replace(inputs, advantages=self.advantages(inputs)))

    def advantages(self, inputs: LossInputs) -> Tensor:
        """[batch, tokens] with the bonuses."""
        assert inputs.entropy is not None
        size = inputs.advantages.abs()
        uncertainty = inputs.signals[SIGNAL].detach()
        seen = (self.uncertainty_weight * uncertainty).minimum(size / self.uncertainty_cap)
        unsure = self.entropy_weight * inputs.entropy.detach()
        unsure = unsure.minimum(size / self.entropy_cap)
        is_noisy = ((uncertainty > 0) & inputs.loss_mask.bool()).any(-1, keepdim=True)
        return inputs.advantages + (seen + unsure).where(is_noisy, 0.0)
