"""VESPO: a soft weight for a whole sequence, from the product of its tokens' ratios.

    W = prod_t r_t, log W held in [log 1e-8, 20]
    phi(W) = exp(lambda + k log W - lambda W)       loss_t = -stop(phi) A log pi_t

What this is: TRL's rule. phi is 1 at W = 1, and falls on both sides of its peak at W = k / lambda.
The product is that of the policy over the engine where `anchor` is "rollout", and so folds the
engine's correction in, which is therefore refused beside it. Left out: other corrections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.ranges import Positive
from vigorl.training.algorithms.policy_loss import AnchoredLoss, TokenLoss, either, sampled_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs

MIN_LOG_WEIGHT = math.log(1e-8)


@dataclass(frozen=True, slots=True, kw_only=True)
class VESPO(AnchoredLoss):
    """Variational sequence-level soft policy optimisation; an `Algorithm`.

    Attributes:
        k_positive: Above 0, where A >= 0.
        lambda_positive: Above 0, where A >= 0.
        k_negative: Above 0, where A < 0.
        lambda_negative: Above 0, where A < 0.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: TRL 1.16.0, `loss_type=vespo`, and its defaults.
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "phi already bounds what a sequence weighs",
        "clip_low": "phi stands in its place",
        "clip_high": "phi stands in its place",
    }

    k_positive: Positive = 2.0
    lambda_positive: Positive = 3.0
    k_negative: Positive = 3.0
    lambda_negative: Positive = 2.0

    @property
    def corrects_engine(self) -> bool:
        return True

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        from vigorl.models.losses import MAX_LOG_RATIO

        advantages = inputs.advantages
        log_weight = change.detach().sum(-1, keepdim=True).clamp(MIN_LOG_WEIGHT, MAX_LOG_RATIO)
        is_good = advantages >= 0
        k = either(is_good, self.k_positive, self.k_negative, like=change)
        rate = either(is_good, self.lambda_positive, self.lambda_negative, like=change)
        phi = (rate + k * log_weight - rate * log_weight.exp()).exp()
        phi = phi.nan_to_num(nan=0.0, posinf=0.0)
        return TokenLoss(-phi * advantages * sampled_logprobs(inputs), {"vespo/weight": phi})
