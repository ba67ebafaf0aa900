"""SAPO: a soft gate instead of a clip. A token's gradient fades as its ratio leaves 1, and never
ends.

    loss_t = -(4 / tau) sigmoid(tau (r_t - 1)) A    tau = tau_positive if A > 0 else tau_negative

What this is: the paper's loss; its slope at r = 1 is that of -A r. Its value there is -2 A / tau,
so `train/policy_loss` is not comparable with that of other algorithms. Left out: any clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.advantages import Normalization
from vigorl.core.ranges import Positive
from vigorl.training.algorithms.policy_loss import PolicyLoss, TokenLoss, either

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class SAPO(PolicyLoss):
    """Soft adaptive policy optimisation; an `Algorithm`.

    Attributes:
        tau_positive: Above 0; the larger, the sooner the gradient fades.
        tau_negative: The same where A <= 0; a little larger, since tokens that are pushed down make
            all others likelier.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2511.20347; TRL 1.16.0, `loss_type=sapo`; verl 1dda039b9,
        `compute_policy_loss_sapo`, both with the mean over sequences.
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "the gate already bounds what a token costs: 4 |A| / tau",
        "clip_low": "the gate stands in its place: tau_negative",
        "clip_high": "the gate stands in its place: tau_positive",
    }

    normalization: Normalization | str = Normalization.SEQUENCE_MEAN
    tau_positive: Positive = 1.0
    tau_negative: Positive = 1.05

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        is_good = inputs.advantages > 0
        tau = either(is_good, self.tau_positive, self.tau_negative, like=change)
        gate = (tau * (change.exp() - 1)).sigmoid()
        return TokenLoss(-4 / tau * gate * inputs.advantages)
