"""KL-Cov: the ratio without a clip, and a price on moving at all for the tokens whose advantage and
likelihood go together most, so that the entropy stays up.

    loss_t = -r_t A, and + coef |log r_t| on the top share by covariance

What this is: the paper's rule. Nothing else holds the policy, so it is for few updates per phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Positive, ShareAboveZero
from vigorl.training.algorithms.covariance import covariances
from vigorl.training.algorithms.policy_loss import PolicyLoss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs
    from vigorl.training.marks import UpdateTokens

_NO_CLIP = "nothing is clipped: the price on moving is cov_coef"


@dataclass(frozen=True, slots=True, kw_only=True)
class KLCov(PolicyLoss):
    """Policy gradient with KL-Cov; an `Algorithm`.

    Attributes:
        cov_frac: Share of the update's tokens, in (0, 1], that pay; at least one.
        cov_coef: Above 0; what a nat costs them.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2505.22617, section 4.3; verl 1dda039b9, `compute_policy_loss_kl_cov` and its
        config (2e-4 and 0.1; 1.0 is the function's own default).
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": _NO_CLIP, "clip_low": _NO_CLIP, "clip_high": _NO_CLIP,
        "top_entropy_frac": "both choose tokens by what keeps entropy up; take one",
    }  # fmt: skip

    cov_frac: ShareAboveZero = 2e-4
    cov_coef: Positive = 0.1

    def __post_init__(self) -> None:
        PolicyLoss.__post_init__(self)
        if self.top_entropy_frac is not None:
            why = self.refused["top_entropy_frac"]
            raise ConfigError(f"algorithm.top_entropy_frac has no meaning with KL-Cov: {why}")

    @property
    def needs_marks(self) -> bool:
        return True

    @property
    def needs_zero_advantages(self) -> bool:
        return True  # they may pay too

    def marks(self, tokens: UpdateTokens) -> Tensor:
        """1.0 on the tokens that pay."""
        import torch

        cov = covariances(tokens)
        marks = torch.zeros(len(cov))
        marks[cov.topk(max(int(self.cov_frac * len(cov)), 1)).indices] = 1.0
        return marks

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        assert inputs.marks is not None
        paid = self.cov_coef * change.abs() * inputs.marks
        return TokenLoss(paid - inputs.advantages * change.exp(), {"kl_cov/paid": paid})
