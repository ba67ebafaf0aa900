"""GRPO: PPO's clip on each token's ratio, with each rollout's advantage in its group.

What this is: a clip with its own upper bound, a dual clip, a KL to the start checkpoint as a loss
term (absent at coefficient 0). With `scale_by_std=false` and `normalization=constant_length`
it is Dr. GRPO, with the mean over all tokens the loss of DAPO and, as that of the whole update and
not of each micro-batch, of BNPO; with GAE and a critic in place of the group it is PPO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Positive, Range
from vigorl.training.algorithms.policy_loss import ClipLow, PolicyLoss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import Clip, LossInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO(PolicyLoss):
    """Group-relative policy optimisation; an `Algorithm`.

    Attributes:
        clip_low: See `models.losses.Clip`.
        clip_high: See there.
        dual_clip: See there.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2402.03300 eq. 3; Dr. GRPO arXiv:2503.20783; DAPO arXiv:2503.14476.
    """

    clip_low: ClipLow = 0.2
    clip_high: Positive = 0.28
    dual_clip: Annotated[float, Range(gt=1, words="above 1, or null")] | None = 3.0

    def __post_init__(self) -> None:
        PolicyLoss.__post_init__(self)
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ConfigError(
                f"algorithm.dual_clip must be above 1 + clip_high = {1 + self.clip_high:g}, "
                f"got {self.dual_clip:g}"
            )

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        ratio, clip = change.exp(), self.clip()
        return TokenLoss(
            clip.loss(ratio, inputs.advantages), clip.metrics(ratio, inputs.advantages)
        )

    def clip(self) -> Clip:
        from vigorl.models.losses import Clip

        return Clip(low=self.clip_low, high=self.clip_high, dual=self.dual_clip)
