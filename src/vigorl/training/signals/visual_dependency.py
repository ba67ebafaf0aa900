"""How much a token depends on the pictures: KL between the policy that sees them and the policy
that sees plain grey, estimated on the sampled token.

    S_t = k3(log pi(t | grey) - log pi(t | pictures))      in [0, 10] nats

As a metric alone, or as VPPO's mask: of each rollout only the tokens with the highest values get a
gradient, while all of them count in the weights of the optimizer batch as before. Left out: VPPO's
factor per rollout, its random patches (grey is the same for every pass) and its entropy penalty;
PAPO's KL with gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.media import GREY, Fill, ImageView
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import k3_kl


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualDependency:
    """A `TokenSignal`.

    Attributes:
        top_frac: Share of each rollout's tokens, in (0, 1], that get a gradient, those with the
            highest values; None only measures. VPPO: 0.4.
    Raises:
        ConfigError: `top_frac` out of its range.
    Source: VPPO, arXiv:2510.09285, eq. 3 and 5; huaixuheqing/VPPO-RL a23c54b, `dp_actor.py`.
    """

    top_frac: float | None = None

    def __post_init__(self) -> None:
        if self.top_frac is not None and not 0 < self.top_frac <= 1:
            raise ConfigError(f"visual_dependency.top_frac={self.top_frac} must be in (0, 1]")

    @property
    def name(self) -> str:
        return "visual_dependency"

    def views(self, sample: TrainingSample) -> tuple[ImageView, ...]:
        return tuple(view.edited(Fill(rgb=GREY)) for view in sample.views)

    def values(
        self,
        changed: Float[Tensor, "batch tokens"],
        old: Float[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens"]:
        return k3_kl(old, changed, mask)

    def factors(
        self, values: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens"] | None:
        if self.top_frac is None:
            return None
        order = values.masked_fill(~mask, -1.0).argsort(dim=-1, descending=True, stable=True)
        place = order.argsort(dim=-1)  # of each token: 0 has the highest value
        # 0.4 of 15 is 6, though 0.4 * 15 rounds to a little more
        num_kept = torch.ceil(self.top_frac * mask.sum(-1, keepdim=True) - 1e-4)
        return ((place < num_kept) & mask).to(values.dtype)
