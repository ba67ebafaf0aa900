"""PAPO: GRPO that is paid for answering differently when the pictures are masked.

    loss = GRPO's - perception_coef * k3(log pi(t | masked) - log pi(t | pictures))
                  - double_entropy_coef * (log pi(t | pictures) + log pi(t | masked))

with the gradient through both passes. What this is: the paper's loss. The KL is unbounded and can
be driven up without looking, which the paper calls hacking; the second term holds the entropy of
both passes DOWN against it, k3 of a token ends at 10 nats, and larger coefficients than these or
heavier masks make it likelier. The masked pictures are those of `signals.visual_dependency`; the
pass under them is one more forward and backward per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.ranges import NotNegative, Positive
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.policy_loss import TokenLoss, sampled_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs

SIGNAL = "visual_dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class PAPO(GRPO):
    """Perception-aware policy optimisation; an `Algorithm` that reads a signal with gradient.

    Attributes:
        perception_coef: Above 0; what a nat of the KL is paid.
        double_entropy_coef: At least 0; what a nat of -log pi costs, in each of both passes.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2507.06448: 0.02 with GRPO and 0.01 with DAPO's clip or without a reference; 0.05
        for 7B with GRPO, 0.03 with DAPO's, 0 for 3B; clip 0.2 and 0.3, KL 0.01, patches of 14
        pixels black with a chance of 0.6.
    """

    clip_high: Positive = 0.3
    perception_coef: Positive = 0.02
    double_entropy_coef: NotNegative = 0.05

    @property
    def needs_signals(self) -> tuple[str, ...]:
        return (SIGNAL,)

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        return (SIGNAL,)

    @property
    def needs_zero_advantages(self) -> bool:
        return True

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        from vigorl.models.losses import k3_kl

        loss, metrics, _ = GRPO.token_loss(self, change, inputs)
        masked, mask = inputs.changed_logprobs[SIGNAL], inputs.loss_mask.bool()
        perceived = k3_kl(inputs.policy_logprobs, masked, mask)
        both = sampled_logprobs(inputs) + masked.where(mask, 0.0)
        beside = -self.perception_coef * perceived - self.double_entropy_coef * both
        return TokenLoss(loss, {**metrics, "papo/kl": perceived}, beside)
