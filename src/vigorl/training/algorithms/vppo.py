"""VPPO: GRPO that learns from what was seen: of each rollout only the tokens that depend most on
the pictures, and more from rollouts that depend on them more.

    S_t   visual dependency of a token: `signals.visual_dependency`, whose `top_frac` is the mask
    n_i   mean_t S_t of a rollout, min-max over the update
    loss  w_i * GRPO's, w_i = min_factor + n_i (1 - min_factor) / mean n     (their mean is 1)
          - entropy_penalty * log pi_t                                       (on all tokens)

What this is: the released code's rule, but min and max are those of the whole update, where the
code takes the micro-batch's, so that they do not depend on the cut. The penalty pushes entropy
DOWN: it is in the code, not in the paper's text. Left out: dropping flat groups (a matter of
groups), learning from the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import NotNegative, ShareAboveZero
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.policy_loss import TokenLoss, sampled_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs
    from vigorl.training.marks import UpdateTokens

SIGNAL = "visual_dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class VPPO(GRPO):
    """Visually-perceptive policy optimisation; an `Algorithm` that reads a signal.

    Attributes:
        min_factor: In (0, 1]; what the rollout that depends least is multiplied with. 1 is no
            factor.
        entropy_penalty: At least 0; what a nat of -log pi costs.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2510.09285; huaixuheqing/VPPO-RL a23c54b, `dp_actor.py`, `train_vppo_7b.sh`
        (0.9 and 0.06; no dual clip in the paper, 3 in the code's base).
    """

    refused: ClassVar[dict[str, str]] = {
        "top_entropy_frac": "the tokens that are learned from are chosen by what they owe to the "
        "pictures: signals.visual_dependency.top_frac"
    }

    min_factor: ShareAboveZero = 0.9
    entropy_penalty: NotNegative = 0.06

    def __post_init__(self) -> None:
        GRPO.__post_init__(self)
        if self.top_entropy_frac is not None:
            why = self.refused["top_entropy_frac"]
            raise ConfigError(f"algorithm.top_entropy_frac has no meaning with VPPO: {why}")

    @property
    def needs_signals(self) -> tuple[str, ...]:
        return (SIGNAL,)

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        return ()

    @property
    def needs_marks(self) -> bool:
        return True

    @property
    def needs_zero_advantages(self) -> bool:
        return self.entropy_penalty > 0 or self.kl_coef > 0

    def marks(self, tokens: UpdateTokens) -> Tensor:
        """The factor of each token's rollout."""
        means = tokens.sequence_means(tokens.signals[SIGNAL])
        spread = means.max() - means.min()
        if spread == 0:
            return tokens.entropy.new_ones(len(tokens.sequence))
        place = (means - means.min()) / spread
        factors = self.min_factor + place * (1 - self.min_factor) / place.mean()
        return factors[tokens.sequence].float()

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        assert inputs.marks is not None
        loss, metrics, _ = GRPO.token_loss(self, change, inputs)
        return TokenLoss(
            loss * inputs.marks,
            {**metrics, "vppo/factor": inputs.marks},
            beside=-self.entropy_penalty * sampled_logprobs(inputs),
        )
