"""Features of pictures that the hf engine has encoded, kept until the weights change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vigorl.core.media import ImageView
from vigorl.data.images import ImageStore
from vigorl.families.family import Family

ENCODE_TOKENS = 8192  # picture tokens that go through the vision tower at once


class FeatureCache:
    """By the pictures' keys; what was needed least lately goes first.

    Args:
        model: Whose tower encodes.
        family: How.
        images: Pixels of views.
        max_tokens: Picture tokens that `trim` leaves.
    """

    def __init__(
        self, model: PreTrainedModel, family: Family, images: ImageStore, *, max_tokens: int
    ) -> None:
        self._model, self._family, self._images = model, family, images
        self._max_tokens = max_tokens
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    def encode(self, views: Iterable[ImageView]) -> None:
        """Have these views, whatever their number, until `trim`."""
        missing: list[ImageView] = []
        num_tokens = 0
        for view in dict.fromkeys(views):
            if view.key in self._features:
                self._features.move_to_end(view.key)
                continue
            missing.append(view)
            num_tokens += self._images.num_tokens(view)
            if num_tokens >= ENCODE_TOKENS:
                self._run_tower(missing)
                missing, num_tokens = [], 0
        if missing:
            self._run_tower(missing)

    def of(self, views: Sequence[ImageView]) -> Float[Tensor, "image_tokens width"]:
        """Those of encoded views, one after the other."""
        return torch.cat([self._features[view.key] for view in views])

    @property
    def by_key(self) -> Mapping[str, Float[Tensor, "_ width"]]:
        """All that is kept, by `ImageView.key`."""
        return self._features

    def trim(self) -> None:
        num_tokens = sum(len(features) for features in self._features.values())
        while num_tokens > self._max_tokens:
            num_tokens -= len(self._features.popitem(last=False)[1])

    def clear(self) -> None:
        self._features.clear()

    def _run_tower(self, views: list[ImageView]) -> None:
        made, device = self._images.batch(views), self._model.device
        features = self._family.encode(
            self._model, made.pixel_values.to(device), made.grid_thw.to(device)
        )
        # copies: a slice would keep the features of the whole call
        kept = [feature.clone() for feature in features]
        self._features.update(zip([view.key for view in views], kept, strict=True))
