"""Clip-Cov: GRPO in which a few tokens, drawn at random among those whose advantage and likelihood
go together most, get no gradient, so that the entropy stays up.

What this is: the paper's rule on top of the clip. Left out: drawing only among tokens that the clip
leaves: at the phase's start, where the choice is made for the whole update, it holds none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import NotNegative, Positive, ShareAboveZero
from vigorl.training.algorithms.covariance import covariances
from vigorl.training.algorithms.grpo import GRPO

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs
    from vigorl.training.marks import UpdateTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCov(GRPO):
    """GRPO with Clip-Cov; an `Algorithm`.

    Attributes:
        cov_frac: Share of the update's tokens, in (0, 1], that get no gradient; at least one.
        cov_low: Only tokens whose covariance is above this, in nats, ...
        cov_high: ... and below this are drawn.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2505.22617, section 4.2; verl 1dda039b9, `compute_policy_loss_clip_cov`
        (2e-4, 1, 5; clip 0.2 on both sides).
    """

    refused: ClassVar[dict[str, str]] = {
        "top_entropy_frac": "both choose tokens by what keeps entropy up; take one"
    }

    clip_high: Positive = 0.2
    cov_frac: ShareAboveZero = 2e-4
    cov_low: NotNegative = 1.0
    cov_high: Positive = 5.0

    def __post_init__(self) -> None:
        GRPO.__post_init__(self)
        if self.top_entropy_frac is not None:
            why = self.refused["top_entropy_frac"]
            raise ConfigError(f"algorithm.top_entropy_frac has no meaning with Clip-Cov: {why}")
        if self.cov_low >= self.cov_high:
            raise ConfigError(
                f"need algorithm.cov_low below algorithm.cov_high, "
                f"got {self.cov_low} and {self.cov_high}"
            )

    @property
    def needs_marks(self) -> bool:
        return True

    def marks(self, tokens: UpdateTokens) -> Tensor:
        """0.0 on the tokens that are drawn, 1.0 on all others."""
        import torch

        cov = covariances(tokens)
        choice = ((cov > self.cov_low) & (cov < self.cov_high)).nonzero().flatten()
        num = max(int(self.cov_frac * len(cov)), 1)
        noise = torch.Generator().manual_seed(tokens.seed)
        marks = torch.ones(len(cov))
        marks[choice[torch.randperm(len(choice), generator=noise)[:num]]] = 0.0
        return marks

    def kept(self, inputs: LossInputs) -> Tensor | None:
        assert inputs.marks is not None
        near = GRPO.kept(self, inputs)
        return inputs.marks if near is None else inputs.marks * near
