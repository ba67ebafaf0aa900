"""What the frozen vision tower said about each picture, remembered until it is told to forget.

A frozen tower gives the same features to the old-logprob, the reference and every update pass, and
to all rollouts that look at one picture. So it runs once per picture and phase. Features are kept
by `ImageView.key`, which is what was shown, so two rollouts that zoom into the same window share
it. Under a limit, those used longest ago are forgotten first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.media import ImageView
from vigorl.data.cache import ByteCache
from vigorl.models.policy import Policy

PixelsFn = Callable[[Sequence[ImageView]], tuple[Tensor, Tensor]]


class VisionCache:
    """Image features by view.

    Attributes:
        hits: Views served without running the tower.
        misses: Views that the tower ran for.
        num_calls: Calls of the tower, blank ones included.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        max_bytes: int | None = None,
        max_patches: int | None = None,
        always_call: bool = False,
        storage: torch.device | str | None = None,
    ) -> None:
        """An empty cache in front of a policy's tower.

        Args:
            policy: Its vision side must be frozen, else features would go stale.
            max_bytes: Most bytes of features kept between calls; None is no limit.
            max_patches: Most patches (before merging) in one call of the tower, a single larger
                picture excepted; None is no limit.
            always_call: Call the tower equally often on all ranks and at least once per `get`, with
                a blank picture where nothing is missing. ZeRO-3 hangs without it. Every rank must
                then call `get` equally often.
            storage: Where features are kept, such as "cpu"; None is the tower's own device.
        Raises:
            ConfigError: The vision side is not frozen, or a limit is under 1.
        """
        if not policy.is_vision_frozen:
            raise ConfigError(
                "a VisionCache needs a frozen vision tower and merger: "
                "set freeze_vision_tower=true, or do without the cache"
            )
        for name, limit in (("max_patches", max_patches), ("max_bytes", max_bytes)):
            if limit is not None and limit < 1:
                raise ConfigError(f"{name} must be at least 1, got {limit}")
        self.policy, self.max_patches, self.always_call = policy, max_patches, always_call
        self.storage = storage
        self.hits = self.misses = self.num_calls = 0
        self._features: ByteCache[str, Tensor] = ByteCache(max_bytes or math.inf)

    def __len__(self) -> int:
        return len(self._features)

    @property
    def num_bytes(self) -> int:
        """Of all features kept."""
        return self._features.num_bytes

    def get(
        self, views: Sequence[ImageView], pixels_fn: PixelsFn
    ) -> Float[Tensor, "image_tokens width"]:
        """The features of `views`, joined in their order, as `Policy.forward` takes them.

        Args:
            views: In placeholder order; the same view may come more than once.
            pixels_fn: Gives (pixel_values [patches, dim], grid_thw [n, 3]) of the views it is
                handed; asked only for views that are missing, each once, and once per call of the
                tower.
        """
        unique = {view.key: view for view in views}
        found = {key: kept for key in unique if (kept := self._features.find(key)) is not None}
        missing = [view for key, view in unique.items() if key not in found]
        self.misses += len(missing)
        self.hits += len(views) - len(missing)
        batches = list(self._batches(missing))
        num_blank = self._num_blank(len(batches))
        for batch in batches:
            pixel_values, grid_thw = pixels_fn(batch)
            features = self.policy.encode_views(pixel_values, grid_thw)
            for view, feature in zip(batch, features, strict=True):
                # a copy: the slice would keep the whole call's features alive
                kept = found[view.key] = feature.detach().to(device=self.storage, copy=True)
                self._features.put(view.key, kept, weight=kept.nbytes)
        for _ in range(num_blank):
            self.policy.encode_blank()
        self.num_calls += len(batches) + num_blank
        device = self.policy.device
        blank = torch.empty(0, self.policy.feature_width, device=device, dtype=self.policy.dtype)
        return torch.cat([blank, *(found[view.key].to(device) for view in views)])

    def clear(self) -> None:
        """Forget all features and start counting at zero."""
        self._features.clear()
        self.hits = self.misses = self.num_calls = 0

    def _batches(self, views: Sequence[ImageView]) -> Iterator[list[ImageView]]:
        batch: list[ImageView] = []
        num_patches = 0
        for view in views:
            patches = self.policy.num_patches(view.size)
            if batch and self.max_patches is not None and num_patches + patches > self.max_patches:
                yield batch
                batch, num_patches = [], 0
            batch.append(view)
            num_patches += patches
        if batch:
            yield batch

    def _num_blank(self, num_batches: int) -> int:
        """Blank calls to add, agreed on before the first one: ranks cannot talk of it halfway."""
        if not self.always_call:
            return 0
        return _max_over_ranks(max(1, num_batches), device=self.policy.device) - num_batches


def _max_over_ranks(value: int, *, device: torch.device) -> int:
    if not dist.is_initialized():
        return value
    agreed = torch.tensor(value, device=device)
    dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
    return int(agreed.item())
