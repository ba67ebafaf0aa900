"""GSPO: one ratio per sequence, the geometric mean over its tokens, and the mean over sequences.

What this is: the paper's objective, in its form with a ratio per token whose value is the
sequence's and whose gradient is the token's own:

    s_i = exp(mean_t log r_it)      s_it = stop(s_i) * pi_it / stop(pi_it)

Where a sequence has one advantage, as here, the gradient is that of GSPO itself; advantages that
differ from token to token would keep their meaning. The mean over many tokens hardly moves, so the
bounds are a thousand times narrower than GRPO's, and bind only where a phase has several updates
(the paper: four). Left out, because it would be another objective or never act: other averages than
the mean over sequences, a dual clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import Normalization, token_weights
from vigorl.models.losses import (
    Clip,
    KLEstimator,
    LossInputs,
    LossOutput,
    largest_ratio,
    log_ratio,
    policy_gradient_output,
    sequence_mean,
)
from vigorl.training.algorithms.group_relative import GroupRelative


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPO(GroupRelative):
    """Group sequence policy optimisation; an `Algorithm`.

    Attributes:
        clip_low: Of a sequence's ratio; see `models.losses.Clip`.
        clip_high: See there.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:2507.18071 eq. 5 to 7 (GSPO), 13 and 14 (per token), section 5.1 (bounds).
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def __post_init__(self) -> None:
        GroupRelative.__post_init__(self)
        self._clip()

    def token_weights(self, num_tokens: Sequence[int]) -> list[float]:
        return token_weights(num_tokens, normalization=Normalization.SEQUENCE_MEAN)

    def loss(self, inputs: LossInputs) -> LossOutput:
        mask = inputs.loss_mask.bool()
        change = log_ratio(inputs.policy_logprobs, inputs.old_logprobs.detach(), mask)
        mean = sequence_mean(change.detach(), mask)  # [batch, 1]
        ratio = (mean + (change - change.detach())).exp()
        tokens = change.detach().exp()  # what is measured: their mean would hide what one did
        return policy_gradient_output(
            self._clip().loss(ratio, inputs.advantages),
            inputs,
            kl_coef=self.kl_coef,
            kl_estimator=KLEstimator(self.kl_estimator),
            metrics={
                "kl/old": tokens - 1 - change.detach(),
                **self._clip().metrics(ratio, inputs.advantages),
            },
            maxima={"train/ratio_max": largest_ratio(tokens, mask)},
        )

    def _clip(self) -> Clip:
        return Clip(low=self.clip_low, high=self.clip_high)
