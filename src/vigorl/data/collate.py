"""From samples to one padded batch of tensors: the last place where a picture is one placeholder.

Two samples, the first with a picture of two tokens (pad 0, placeholder 9, padding right):

    ids        [5 9 6]      [5 7]           input_ids       [[5 9 9 6], [5 7 0 0]]
    loss mask  [0 0 1]      [0 1]           loss_mask       [[0 0 0 1], [0 1 0 0]]
                                            attention_mask  [[1 1 1 1], [1 1 0 0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vigorl.core.media import ImageView
from vigorl.core.rollout import TrainingSample
from vigorl.data.encoding import expand_image_pads, expand_parallel
from vigorl.data.images import ImageStore

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """B samples of at most L tokens with N pictures of P patches in all.

    Attributes:
        input_ids: Placeholders expanded, as the model takes them.
        attention_mask: 1 on tokens, 0 on padding.
        loss_mask: True on the tokens to learn from (not shifted: the logits that predict token t
            stand at t - 1).
        token_weight: What each loss token of a sample counts; see `core.advantages.token_weights`.
        advantages: Unitless, 0.0 where nothing is learned from; None for SFT.
        sampling_logprobs: Nats, 0.0 where nothing was sampled; None for SFT.
        image_grid_thw: Pieces, and patch rows and patch columns of each, of every picture.
        views: All pictures, in the order of their placeholders, sample after sample.
        pixel_values: Patches or tiles of all pictures; None when the vision features come from
            elsewhere.
        token_share: What each loss token of a sample counts in a plain mean over those of the
            optimizer batch; None for batches that are no part of one.
        is_guest: True on samples that no engine sampled; None where there is none.
        old_values: In units of the reward, what the critic of the phase's start expected before
            each token; None without a critic. So are `returns`, what it should have expected.
    """

    input_ids: Int[Tensor, "batch tokens"]
    attention_mask: Int[Tensor, "batch tokens"]
    loss_mask: Bool[Tensor, "batch tokens"]
    token_weight: Float[Tensor, " batch"]
    advantages: Float[Tensor, "batch tokens"] | None
    sampling_logprobs: Float[Tensor, "batch tokens"] | None
    image_grid_thw: Int[Tensor, "images 3"]
    views: tuple[ImageView, ...]
    pixel_values: Float[Tensor, "pieces ..."] | None = None
    token_share: Float[Tensor, " batch"] | None = None
    is_guest: Bool[Tensor, " batch"] | None = None
    old_values: Float[Tensor, "batch tokens"] | None = None
    returns: Float[Tensor, "batch tokens"] | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TrainingBatch:
        """The batch with its tensors on `device`."""
        moved = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def collate(
    samples: Sequence[TrainingSample],
    *,
    images: ImageStore,
    pad_id: int,
    image_id: int,
    with_pixels: bool = True,
) -> TrainingBatch:
    """Expand, pad and stack samples.

    Args:
        samples: At least one; all with sampling logprobs, or none, and so with advantages. Those
            of guests, who have none, are 0.0.
        images: Counts tokens and makes pixels.
        pad_id: Fills `input_ids` where there is nothing.
        image_id: The picture placeholder.
        with_pixels: False leaves `pixel_values` None.
    Raises:
        ValueError: No samples, a mix of samples with and without logprobs or advantages, or a
            sample whose pictures and placeholders differ in number.
        DataError: A picture cannot be read.
    """
    if not samples:
        raise ValueError("cannot make a batch of no samples")
    counts = [[images.num_tokens(view) for view in sample.views] for sample in samples]

    def expanded(values: Sequence[Sequence[Value]], fill: Value) -> list[list[Value]]:
        return [
            expand_parallel(sample.token_ids, row, count, image_id=image_id, fill=fill)
            for sample, row, count in zip(samples, values, counts, strict=True)
        ]

    ids = [
        expand_image_pads(sample.token_ids, count, image_id=image_id)
        for sample, count in zip(samples, counts, strict=True)
    ]
    masks = expanded([sample.loss_mask for sample in samples], 0)
    guests = [sample.is_guest for sample in samples]
    sampled = [
        (0.0,) * len(sample.token_ids) if sample.is_guest else sample.sampling_logprobs
        for sample in samples
    ]

    def floats(name: str, rows: Sequence[Sequence[float]]) -> Tensor | None:
        if not any(rows):
            return None
        if not all(rows):
            raise ValueError(f"some samples have {name} and some have none")
        return torch.tensor(_padded(expanded(rows, 0.0), 0.0))

    views = tuple(view for sample in samples for view in sample.views)
    grids = [images.grid_thw(view) for view in views]
    return TrainingBatch(
        input_ids=torch.tensor(_padded(ids, pad_id)),
        attention_mask=torch.tensor(_padded([[1] * len(row) for row in ids], 0)),
        loss_mask=torch.tensor(_padded(masks, 0)).bool(),
        token_weight=torch.tensor([sample.token_weight for sample in samples]),
        advantages=floats("advantages", [sample.advantages for sample in samples]),
        sampling_logprobs=floats("sampling logprobs", sampled),
        image_grid_thw=torch.tensor(grids, dtype=torch.long).reshape(-1, 3),
        views=views,
        pixel_values=images.batch(views).pixel_values if with_pixels and views else None,
        token_share=torch.tensor([sample.token_share for sample in samples]),
        is_guest=torch.tensor(guests) if any(guests) else None,
        old_values=floats("old values", [sample.old_values for sample in samples]),
        returns=floats("returns", [sample.returns for sample in samples]),
    )


def _padded(rows: Sequence[list[Value]], fill: Value) -> list[list[Value]]:
    longest = max(map(len, rows))
    return [row + [fill] * (longest - len(row)) for row in rows]
