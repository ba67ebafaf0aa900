"""DRO: a regression on the advantage instead of a clip: each token is pulled by its advantage and
held by the square of how far it has moved.

    loss_t = -(A log pi_t - beta / 2 (log r_t)^2)

What this is: the token form that verl has. Left out: the paper's learned value, in whose place the
group's mean reward stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.ranges import Positive
from vigorl.training.algorithms.policy_loss import PolicyLoss, TokenLoss, sampled_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs

_NO_CLIP = "beta holds the policy near the old one in its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class DRO(PolicyLoss):
    """Direct reward optimisation; an `Algorithm`.

    Attributes:
        beta: Above 0; no default is published with the token form, so it must be set.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2405.19107; verl 1dda039b9, `compute_policy_loss_dro`.
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": _NO_CLIP, "clip_low": _NO_CLIP, "clip_high": _NO_CLIP
    }  # fmt: skip

    beta: Positive

    @property
    def needs_zero_advantages(self) -> bool:
        return True  # they are held too

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        held = self.beta / 2 * change.square()
        return TokenLoss(held - inputs.advantages * sampled_logprobs(inputs), {"dro/held": held})
