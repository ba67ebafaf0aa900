"""What the frozen vision tower said about each picture, remembered until it is told to forget.

A frozen tower gives the same features to the old-logprob, the reference and every update pass, and
to all rollouts that look at one picture. So it runs once per picture and phase. Features are kept
by `ImageView.key`, which is what was shown, so two rollouts that zoom into the same window share
it. Under a limit, those used longest ago are forgotten first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from cachetools import LRUCache
from jaxtyping import Float
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.media import ImageView
from vigorl.models.policy import Policy

PixelsFn = Callable[[Sequence[ImageView]], tuple[Tensor, Tensor]]


class VisionCache:
    """Image features by view."""

    def __init__(
        self,
        policy: Policy,
        *,
        max_bytes: int | None = None,
        always_call: bool = False,
    ) -> None:
        """An empty cache in front of a policy's tower.

        Args:
            policy: Its vision side must be frozen, else features would go stale.
            max_bytes: Most bytes of features kept between calls; None is no limit.
            always_call: Call the tower once per `get`, with a blank picture where nothing is
                missing. ZeRO-3 hangs without it. Every rank must then call `get` equally often.
        Raises:
            ConfigError: The vision side is not frozen, or the limit is under 1.
        """
        if not policy.is_vision_frozen:
            raise ConfigError(
                "a VisionCache needs a frozen vision tower and merger: "
                "set freeze_vision_tower=true, or do without the cache"
            )
        if max_bytes is not None and max_bytes < 1:
            raise ConfigError(f"max_bytes must be at least 1, got {max_bytes}")
        self.policy, self.always_call = policy, always_call
        self._features: LRUCache[str, Tensor] = LRUCache(
            max_bytes or math.inf, getsizeof=lambda features: features.nbytes
        )

    def get(
        self, views: Sequence[ImageView], pixels_fn: PixelsFn
    ) -> Float[Tensor, "image_tokens width"]:
        """The features of `views`, joined in their order, as `Policy.forward` takes them.

        Args:
            views: In placeholder order; the same view may come more than once.
            pixels_fn: Gives (pixel_values [pieces, ...], grid_thw [n, 3]) of the views it is
                handed; asked only for views that are missing, all at once.
        """
        unique = {view.key: view for view in views}
        found = {key: kept for key in unique if (kept := self._features.get(key)) is not None}
        missing = [view for key, view in unique.items() if key not in found]
        if missing:
            features = self.policy.encode_views(*pixels_fn(missing))
            for view, feature in zip(missing, features, strict=True):
                # a copy: the slice would keep the whole call's features alive
                found[view.key] = feature.detach().clone()
                self._keep(view.key, found[view.key])
        elif self.always_call:
            self.policy.encode_blank()
        device = self.policy.device
        blank = torch.empty(0, self.policy.feature_width, device=device, dtype=self.policy.dtype)
        return torch.cat([blank, *(found[view.key] for view in views)])

    def missing(self, views: Sequence[ImageView]) -> list[ImageView]:
        """Those that the next `get` would run the tower on; asking makes none of them newer."""
        unique = {view.key: view for view in views}
        return [view for key, view in unique.items() if key not in self._features]

    def adopt(self, keys: Iterable[str], features: Mapping[str, Float[Tensor, "_ width"]]) -> None:
        """Remember what another copy of this tower has said, as if it had been asked here.

        Args:
            keys: Of views; what is not among the features is asked here when it is needed.
            features: By `ImageView.key`.
        """
        for key in dict.fromkeys(keys):
            if key in features:
                # a copy: those of `inference_mode` cannot be saved for a backward pass
                self._keep(key, features[key].to(self.policy.device, copy=True))

    def _keep(self, key: str, feature: Tensor) -> None:
        if feature.nbytes <= self._features.maxsize:
            self._features[key] = feature

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing is remembered meanwhile, and what was is untouched: a tower rounds a picture by
        which others it is read with, so whoever only looks must leave no features behind.
        """
        kept = self._features
        self._features = LRUCache(0, getsizeof=lambda features: features.nbytes)
        try:
            yield
        finally:
            self._features = kept

    def clear(self) -> None:
        """Forget all features."""
        self._features.clear()
