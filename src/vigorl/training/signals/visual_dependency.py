"""How much a token depends on the pictures: KL between the policy that sees them and the policy
that sees them changed, estimated on the sampled token.

    S_t = k3(log pi(t | changed) - log pi(t | pictures))      in [0, 10] nats

As a metric alone, or as VPPO's mask: of each rollout only the tokens with the highest values get a
gradient, while all of them count in the weights of the optimizer batch as before. Changed is to
plain grey, which is the same in every phase, or, as VPPO and PAPO do, by black patches drawn anew
for each prompt of each phase; crops are changed like whole pictures. VPPO's factor per rollout is
`algorithms.vppo`, PAPO's KL with gradient `algorithms.papo`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.media import GREY, Fill, ImageView, Patches
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import k3_kl


class Change(StrEnum):
    """What becomes of a picture."""

    GREY = "grey"
    PATCHES = "patches"  # squares of 14 pixels as shown, each black by chance


PATCH_PX = 14  # VPPO, PAPO: that of Qwen2.5-VL's tower, which sees two of them as one token


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualDependency:
    """A `TokenSignal`.

    Attributes:
        top_frac: Share of each rollout's tokens, in (0, 1], that get a gradient, those with the
            highest values; None only measures. VPPO: 0.4.
        change: What becomes of the pictures.
        black_frac: How likely a patch is black, in (0, 1]; only with "patches". VPPO 0.5, PAPO 0.6.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: VPPO, arXiv:2510.09285, eq. 3 and 5; huaixuheqing/VPPO-RL a23c54b, `dp_actor.py`,
        `perc_utils.py`.
    """

    top_frac: float | None = None
    change: Change | str = Change.GREY
    black_frac: float | None = None

    def __post_init__(self) -> None:
        if self.top_frac is not None and not 0 < self.top_frac <= 1:
            raise ConfigError(f"visual_dependency.top_frac={self.top_frac} must be in (0, 1]")
        if self.change not in list(Change):
            raise ConfigError(
                f"visual_dependency.change must be one of {', '.join(Change)}, got {self.change!r}"
            )
        if self.change == Change.GREY and self.black_frac is not None:
            raise ConfigError("visual_dependency.black_frac has no effect with change=grey")
        if self.change == Change.PATCHES and not 0 < (self.black_frac or 0) <= 1:
            raise ConfigError(
                f"visual_dependency.black_frac must be in (0, 1] with change=patches, "
                f"got {self.black_frac}"
            )

    @property
    def name(self) -> str:
        return "visual_dependency"

    def views(self, sample: TrainingSample) -> tuple[ImageView, ...]:
        if self.change == Change.GREY:
            return tuple(view.edited(Fill(rgb=GREY)) for view in sample.views)
        return tuple(
            self._blackened(view, f"{sample.group}/{i}") for i, view in enumerate(sample.views)
        )

    def _blackened(self, view: ImageView, name: str) -> ImageView:
        """The same draw for pictures of the same name and place in a prompt."""
        assert self.black_frac is not None
        box = view.region
        patches = Patches(
            width_px=PATCH_PX * (box.right - box.left) / view.size.width,
            height_px=PATCH_PX * (box.bottom - box.top) / view.size.height,
            share=self.black_frac,
            box=box,
            seed=int(hashlib.sha256(name.encode()).hexdigest()[:15], 16),
        )
        return view.edited(patches)

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
