"""REINFORCE: the gradient of the expected advantage, without a clip, corrected for the policy that
sampled.

    loss_t = -stop(min(pi_t / engine_t, max_weight)) A log pi_t

What this is: the plain policy gradient; with a baseline per group it is what RLOO, ReMax and others
begin with. For phases with one update: nothing holds a second one but `max_weight`. Left out: a
learned baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.advantages import Normalization
from vigorl.core.ranges import FromOne
from vigorl.training.algorithms.policy_loss import (
    PolicyLoss,
    TokenLoss,
    engine_logprobs,
    sampled_logprobs,
)

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs

_NO_CLIP = "there is no ratio to hold: max_weight bounds the correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class REINFORCE(PolicyLoss):
    """REINFORCE with truncated importance sampling; an `Algorithm`.

    Attributes:
        max_weight: At least 1, of the policy over the engine that sampled; None weighs all tokens
            with 1, and leaves the gap to `importance_correction`.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: R. Williams, Machine Learning 8 (1992); correction and its mean over sequences of sums
        over tokens: verl 1dda039b9, `bypass_mode` with `loss_type=reinforce`.
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": _NO_CLIP, "clip_low": _NO_CLIP, "clip_high": _NO_CLIP
    }  # fmt: skip

    normalization: Normalization | str = Normalization.SEQUENCE_SUM
    max_weight: FromOne | None = 2.0

    @property
    def needs_old(self) -> bool:
        return False

    @property
    def corrects_engine(self) -> bool:
        return self.max_weight is not None

    def anchor_logprobs(self, inputs: LossInputs) -> Tensor:
        return inputs.old_logprobs if self.max_weight is None else engine_logprobs(inputs)

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        loss = -inputs.advantages * sampled_logprobs(inputs)
        if self.max_weight is None:
            return TokenLoss(loss)
        ratio = change.detach().exp()
        return TokenLoss(
            loss * ratio.clamp(max=self.max_weight),
            {"clip/high_frac": (ratio > self.max_weight).float()},
        )
