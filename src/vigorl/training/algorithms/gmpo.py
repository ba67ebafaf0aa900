"""GMPO: the geometric mean of a sequence's ratios, each clipped before, instead of their arithmetic
mean, which one outlier rules.

    c_t = min(log r_t, e_high) if A > 0 else max(log r_t, -e_low)
    w_i = exp(mean_t c_t)           loss = mean_i -w_i A_i

What this is: the paper's objective, in a form whose value is the sequence's and whose gradient is
each token's own, so that masks, factors and credit per token act on their tokens; with one
advantage per sequence it is the paper's. Left out: other averages than the mean over sequences, a
dual clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.advantages import Normalization
from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Positive
from vigorl.training.algorithms.policy_loss import PolicyLoss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class GMPO(PolicyLoss):
    """Geometric-mean policy optimisation; an `Algorithm`.

    Attributes:
        normalization: "sequence_mean": with another the gradient is not GMPO's.
        clip_low: Nats, above 0, of a token's log ratio: bounds are in the logarithm.
        clip_high: Nats, above 0.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2507.20673; verl 1dda039b9, `compute_policy_loss_geo_mean`. Bounds: the paper's
        0.4 on both sides, ratios in (0.67, 1.49).
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "a token's ratio is held before the mean, so none can blow up a sequence"
    }

    normalization: Normalization | str = Normalization.SEQUENCE_MEAN
    clip_low: Positive = 0.4
    clip_high: Positive = 0.4

    def __post_init__(self) -> None:
        PolicyLoss.__post_init__(self)
        if self.normalization != Normalization.SEQUENCE_MEAN:
            raise ConfigError(
                f"algorithm.normalization={self.normalization} has another gradient than GMPO's: "
                "leave sequence_mean"
            )

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        from vigorl.models.losses import sequence_mean

        advantages, mask = inputs.advantages, inputs.loss_mask.bool()
        low, high = change.clamp(min=-self.clip_low), change.clamp(max=self.clip_high)
        held = high.where(advantages > 0, low).where(mask, 0.0)
        mean = sequence_mean(held.detach(), mask)  # [batch, 1]
        weight = (mean + (held - held.detach())).exp()
        return TokenLoss(
            -advantages * weight,
            {
                "clip/low_frac": ((advantages < 0) & (change < -self.clip_low)).float(),
                "clip/high_frac": ((advantages > 0) & (change > self.clip_high)).float(),
            },
        )
