"""DPPO: a token is left out where its own probability has moved too far, not its ratio. A ratio
bound holds rare tokens after hardly any move (0.001 to 0.002 is r = 2) and lets frequent ones go
far (0.99 to 0.8 is r = 0.81).

    tv   left out where A > 0 and p - p_b > high, or A < 0 and p_b - p > low
    kl   the same with the KL of (p_b, 1 - p_b) and (p, 1 - p), where p moves outwards
    loss_t = -stop(min(r_t, max_ratio)) A log pi_t      of the tokens that are left

What this is: the binary forms, whose divergence is that of "this token or another". Compared is
with the engine that sampled, as the paper says, so no pass of the old policy is needed and the
engine's correction is in the ratio. Left out: divergences over the k likeliest tokens, which need
logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

from vigorl.core.ranges import Positive, Range
from vigorl.training.algorithms.policy_loss import (
    Anchor,
    AnchoredLoss,
    TokenLoss,
    sampled_logprobs,
)

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs

EPS = 1e-8  # verl's, where a probability is 1


class Divergence(StrEnum):
    """What is bounded of a token's probability."""

    TV = "tv"  # its difference
    KL = "kl"  # KL(anchor || policy) of "this token or another", in nats


@dataclass(frozen=True, slots=True, kw_only=True)
class DPPO(AnchoredLoss):
    """Divergence proximal policy optimisation; an `Algorithm`.

    Attributes:
        divergence: See `Divergence`.
        bound_low: Above 0; of tokens with A < 0.
        bound_high: Above 0; of tokens with A > 0.
        max_ratio: Above 1; bounds the weight of the tokens that are left.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2602.04879, section 5.2 for the anchor; verl 1dda039b9,
        `compute_policy_loss_dppo_tv`, `_kl`, and the authors' script there (0.15 for TV, 0.05 for
        KL, 20 for the ratio).
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "max_ratio is the bound on a ratio",
        "clip_low": "bounds are of the probability: bound_low",
        "clip_high": "bounds are of the probability: bound_high",
    }

    anchor: Anchor | str = Anchor.ROLLOUT
    divergence: Divergence | str = Divergence.TV
    bound_low: Positive = 0.15
    bound_high: Positive = 0.15
    max_ratio: Annotated[float, Range(gt=1)] = 20.0

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        advantages, logprobs = inputs.advantages, sampled_logprobs(inputs)
        now, was = logprobs.detach(), logprobs.detach() - change.detach()
        moved = now.exp() - was.exp()
        size = moved.abs()
        if self.divergence == Divergence.KL:
            others = (1 - was.exp() + EPS) / (1 - now.exp() + EPS)
            size = was.exp() * (was - now) + (1 - was.exp()) * others.log()
        is_high = (advantages > 0) & (moved > 0) & (size > self.bound_high)
        is_low = (advantages < 0) & (moved < 0) & (size > self.bound_low)
        weight = change.detach().exp().clamp(max=self.max_ratio)
        weight = weight.masked_fill(is_high | is_low, 0.0)
        return TokenLoss(
            -weight * advantages * logprobs,
            {"clip/low_frac": is_low.float(), "clip/high_frac": is_high.float()},
        )
