"""GRPO: PPO's clip on each token's ratio, with each rollout's advantage in its group.

What this is: a clip with its own upper bound, a dual clip, a KL to the start checkpoint as a loss
term (absent at coefficient 0). With `scale_by_std=false` and `normalization=constant_length`
it is Dr. GRPO. What was left out: a critic, an entropy bonus, GAE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import Normalization, check_normalization, token_weights
from vigorl.models.losses import (
    Clip,
    KLEstimator,
    LossInputs,
    LossOutput,
    largest_ratio,
    log_ratio,
    policy_gradient_output,
)
from vigorl.training.algorithms.group_relative import GroupRelative


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO(GroupRelative):
    """Group-relative policy optimisation; an `Algorithm`.

    Attributes:
        clip_low: See `models.losses.Clip`.
        clip_high: See there.
        dual_clip: See there.
        normalization: How the tokens of an optimizer batch are averaged.
        constant_length: Tokens; only for "constant_length".
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2402.03300 eq. 3; Dr. GRPO arXiv:2503.20783.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float | None = 3.0
    normalization: Normalization | str = Normalization.TOKEN_MEAN
    constant_length: int | None = None

    def __post_init__(self) -> None:
        GroupRelative.__post_init__(self)
        self._clip()
        check_normalization(self.normalization, self.constant_length)

    def token_weights(self, num_tokens: Sequence[int]) -> list[float]:
        return token_weights(
            num_tokens,
            normalization=Normalization(self.normalization),
            constant_length=self.constant_length,
        )

    def loss(self, inputs: LossInputs) -> LossOutput:
        change = log_ratio(inputs.policy_logprobs, inputs.old_logprobs.detach(), inputs.loss_mask)
        ratio = change.exp()  # [batch, tokens], 1 where the mask is 0
        return policy_gradient_output(
            self._clip().loss(ratio, inputs.advantages),
            inputs,
            kl_coef=self.kl_coef,
            kl_estimator=KLEstimator(self.kl_estimator),
            metrics={
                "kl/old": ratio - 1 - change,  # k3 of KL(old || policy) on samples of old
                **self._clip().metrics(ratio, inputs.advantages),
            },
            maxima={"train/ratio_max": largest_ratio(ratio, inputs.loss_mask)},
        )

    def _clip(self) -> Clip:
        return Clip(low=self.clip_low, high=self.clip_high, dual=self.dual_clip)
