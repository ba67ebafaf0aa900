"""The sizes of a policy's matrix products, for `core.flops`; a policy on torch's meta device has
them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from vigorl.core.flops import Load, ModelFlops, Weights, picture_load, text_load
from vigorl.data.collate import TrainingBatch
from vigorl.models.policy import Policy
from vigorl.models.shared_prefix import Reach

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_products(policy: Policy) -> ModelFlops:
    """What each part multiplies by; without convolutions whose outputs overlap there is nothing
    else.
    """
    config, family = policy.model.config, policy.family
    text, shape = config.get_text_config(), family.tower_shape(config)
    linear = family.linear_attention(config)
    vision = dict(_weights(family.tower(policy.model)))
    merger = {name: weight for name, weight in vision.items() if family.is_merger(name)}
    tower = {name: weight for name, weight in vision.items() if name not in merger}
    head = policy.model.get_output_embeddings()
    assert head is not None
    whole_depth = shape.depth - shape.window_depth
    return ModelFlops(
        layers=_sum(dict(_weights(family.language_model(policy.model)))),
        head=_sum({"weight": head.weight}),  # pyright: ignore[reportArgumentType]
        tower=_sum(tower),
        merger=_sum(merger),
        query_width=(text.num_hidden_layers - len(linear.layers))
        * text.num_attention_heads
        * family.head_dim(config),
        state=len(linear.layers) * linear.state,
        tower_width=whole_depth * shape.hidden,
        window_width=shape.window_depth * shape.hidden,
        window=shape.window,
        patches_per_token=shape.merge_size**2,
        is_tower_trained=not policy.is_vision_frozen,
    )


def load_of(
    batch: TrainingBatch,
    *,
    window: int,
    grids: Sequence[tuple[int, int, int]] | None = None,
    reach: Reach | None = None,
) -> Load:
    """What a pass over a batch reads.

    Args:
        batch: Padded.
        window: `ModelFlops.window`.
        grids: Of the pictures that the tower runs on; None: on all of the batch's.
        reach: Of a batch that reads once what sequences begin with (`Policy.sharing`).
    """
    lengths = batch.attention_mask.sum(-1).tolist()
    if grids is None:
        grids = [(a, b, c) for a, b, c in batch.image_grid_thw.tolist()]
    load = text_load(lengths, scored=int(batch.loss_mask.sum()))
    if reach is not None:
        pairs = sum(own * seen for own, seen in zip(reach.own, reach.num_seen, strict=True))
        load = replace(load, tokens=sum(reach.own), pairs=pairs)
    return load + picture_load(grids, window=window)


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, part in module.named_modules():
        if isinstance(part, _PRODUCTS):
            yield f"{name}.weight", part.weight


def _sum(weights: dict[str, Tensor]) -> Weights:
    # ZeRO-3 leaves an empty weight behind, with its size beside it
    sizes = {name: getattr(one, "ds_numel", one.numel()) for name, one in weights.items()}
    return Weights(
        num=sum(sizes.values()),
        num_trained=sum(sizes[name] for name, one in weights.items() if one.requires_grad),
        num_first=sum(size for name, size in sizes.items() if "patch_embed" in name),
    )
