"""How much the policy's tokens change with noise on the pictures: VOGUE's visual uncertainty.

Of a rollout that saw noise: the symmetric KL between the policy under the noisy pictures and under
the clean ones, estimated on the sampled token,

    U_t = (r - 1) log r / 2,   r = pi(t | clean) / pi(t | noisy),   in [0, 10] nats,

whose mean over samples of the noisy policy is (KL(noisy || clean) + KL(clean || noisy)) / 2. The
paper takes whole distributions. Rollouts that saw no noise have U = 0: the bonus is the noisy
branch's alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from vigorl.core.media import ImageView
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import MAX_KL, log_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualUncertainty:
    """A `TokenSignal`; needs exploration=vogue, under which some rollouts see noise.

    Source: VOGUE, arXiv:2510.01444 (its definition; no code was found).
    """

    @property
    def name(self) -> str:
        return "visual_uncertainty"

    def views(self, sample: TrainingSample) -> tuple[ImageView, ...]:
        return sample.without_noise.views

    def values(
        self,
        changed: Float[Tensor, "batch tokens"],
        old: Float[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens"]:
        change = log_ratio(changed, old, mask)
        return (change.expm1() * change / 2).clamp(max=MAX_KL)

    def factors(
        self, values: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens"] | None:
        return None
