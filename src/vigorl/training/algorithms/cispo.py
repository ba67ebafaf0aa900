"""CISPO: the ratio is a weight of the gradient, bounded and detached, so that no token's gradient
is cut off: a clip keeps it, with a bounded weight, where PPO's makes it 0.

    loss_t = -stop(clip(r_t, min_weight, max_weight)) A log pi_t

What this is: MiniMax-M1's loss, also ScaleRL's. The bounds are those of the weight itself, as in
TRL; verl, EasyR1, SkyRL and slime take offsets from 1, so their 0.2 and 0.28 are 0.8 and 1.28 here.
A lower bound above 0 keeps pulling at tokens that the policy has left and lets it run away from the
engine. Left out: MiniMax's filter of repetitions, ScaleRL's head in float32 and its length control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.ranges import FromOne, Share
from vigorl.training.algorithms.policy_loss import AnchoredLoss, TokenLoss, sampled_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class CISPO(AnchoredLoss):
    """Clipped importance-sampling policy optimisation; an `Algorithm`.

    Attributes:
        min_weight: In [0, 1]; 0 is no lower bound.
        max_weight: At least 1.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: MiniMax-M1 arXiv:2506.13585 eq. 4 and 5 (which names no upper bound); ScaleRL
        arXiv:2510.13786 (5, and as good with 4 and 8); TRL 1.16.0, `loss_type=cispo`.
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "max_weight already bounds what a token weighs, whatever its advantage",
        "clip_low": "the bound is one of the weight itself: min_weight=0.8 is a clip_low of 0.2",
        "clip_high": "the bound is one of the weight itself: max_weight=5",
    }

    min_weight: Share = 0.0
    max_weight: FromOne = 5.0

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        advantages, ratio = inputs.advantages, change.detach().exp()
        weight = ratio.clamp(self.min_weight, self.max_weight)
        return TokenLoss(
            -weight * advantages * sampled_logprobs(inputs),
            {
                "clip/low_frac": ((advantages < 0) & (ratio < self.min_weight)).float(),
                "clip/high_frac": ((advantages > 0) & (ratio > self.max_weight)).float(),
            },
        )
