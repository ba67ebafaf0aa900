"""Weights on their way out of the trainer: by the released names, a bucket at a time.

`export_weights` feeds `Engine.publish` and `Policy.save_pretrained`; `load_weights` is its other
end for a model in this process. `export_adapters` feeds engines that have the base and add the
adapters themselves. Under ZeRO-3 and FSDP2 each bucket is gathered, copied and let go, so no rank
ever holds the whole model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from vigorl.core.errors import EngineError
from vigorl.models.lora import (
    LoraLayer,
    lora_layers,
    lora_weights,
    merged_weight,
    scaled_halves,
)
from vigorl.models.parts import whole


@dataclass(frozen=True, slots=True)
class _Exportable:
    """A weight, the name it has in a folder, and the adapted layer it is the base of."""

    name: str
    weight: nn.Parameter
    layer: LoraLayer | None

    @property
    def needed(self) -> list[nn.Parameter]:
        return [self.weight, *(lora_weights(self.layer) if self.layer is not None else [])]

    @property
    def num_bytes(self) -> int:
        return sum(
            getattr(weight, "ds_numel", weight.numel()) * weight.element_size()
            for weight in self.needed
        )


def export_weights(
    model: PreTrainedModel, *, dtype: torch.dtype | None = None, bucket_bytes: int = 1 << 30
) -> Iterator[tuple[str, Tensor]]:
    """All weights named as in the model's Hugging Face folder, adapters merged, tied ones once.

    Under ZeRO-3 and FSDP2 all ranks must run through it together, and to the end.

    Args:
        model: The policy's transformers model (`Policy.model`); stays as it is.
        dtype: To export in; None keeps the weights' own.
        bucket_bytes: Most bytes gathered at once, a single larger weight excepted.
    Yields:
        (name, tensor), detached. A tensor may share memory with the model: copy what must outlive
        its next step.
    """
    for bucket in _buckets(_exportables(model), bucket_bytes):
        gathered = [weight for item in bucket for weight in item.needed]
        is_sharded = any(hasattr(weight, "ds_id") for weight in gathered)
        with _gather(gathered) if is_sharded else nullcontext():
            # a gathered weight is gone once the context ends
            tensors = [(i.name, _value(i, dtype, is_copied=is_sharded)) for i in bucket]
        yield from tensors


def export_adapters(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """The adapters alone, named as peft saves them, scaled so that their alpha is their rank.

    Under ZeRO-3 and FSDP2 all ranks must run through it together, and to the end.

    Args:
        model: The policy's transformers model, with adapters; stays as it is.
    Yields:
        ("base_model.model.MODULE.lora_A.weight", [rank, in]) and
        ("base_model.model.MODULE.lora_B.weight", [out, rank]), copies in the adapters' own dtype.
    """
    for item in _exportables(model):
        if item.layer is None:
            continue
        halves = lora_weights(item.layer)
        is_sharded = any(hasattr(weight, "ds_id") for weight in halves)
        with _gather(halves) if is_sharded else nullcontext():
            down, up = map(whole, scaled_halves(item.layer))
        module = f"base_model.model.{item.name.removesuffix('.weight')}"
        yield f"{module}.lora_A.weight", down
        yield f"{module}.lora_B.weight", up


def load_weights(model: PreTrainedModel, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy weights, named as in a Hugging Face folder, into a model in place.

    Args:
        model: Without adapters and not partitioned.
        weights: Every weight of the model; devices and dtypes may differ from the model's.
    Raises:
        EngineError: A name is missing, unknown or given twice, a shape differs, or the model has
            adapters. The model is then half loaded.
    """
    items = list(_exportables(model))
    if any(item.layer is not None for item in items):
        raise EngineError("cannot load weights into a model that carries adapters")
    missing = {item.name: item.weight for item in items}
    unexpected: list[str] = []
    with torch.no_grad():
        for name, weight in weights:
            target = missing.pop(name, None)
            if target is None:
                unexpected.append(name)
            elif target.shape != weight.shape:
                raise EngineError(f"{name}: shape {tuple(weight.shape)} into {tuple(target.shape)}")
            else:
                target.copy_(weight)
    if missing or unexpected:
        raise EngineError(
            f"weights do not fit the model: {len(missing)} missing {sorted(missing)[:3]}, "
            f"{len(unexpected)} unexpected or given twice {sorted(unexpected)[:3]}"
        )


def _exportables(model: PreTrainedModel) -> Iterator[_Exportable]:
    layers = lora_layers(model)
    plain: dict[str, nn.Parameter] = {}
    layer_of: dict[int, LoraLayer] = {}
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            layer_of[id(weight)] = layers[name.removesuffix(".base_layer.weight")]
        plain[name.replace(".base_layer.", ".")] = weight
    # only renames for these families, so every value comes back as the object it was
    renamed = revert_weight_conversion(model, dict(plain))  # pyright: ignore[reportArgumentType]
    for name, weight in renamed.items():
        assert isinstance(weight, nn.Parameter), f"{name} was converted, not renamed"
        yield _Exportable(name, weight, layer_of.get(id(weight)))


def _buckets(items: Iterable[_Exportable], bucket_bytes: int) -> Iterator[list[_Exportable]]:
    bucket: list[_Exportable] = []
    num_bytes = 0
    for item in items:
        if bucket and num_bytes + item.num_bytes > bucket_bytes:
            yield bucket
            bucket, num_bytes = [], 0
        bucket.append(item)
        num_bytes += item.num_bytes
    if bucket:
        yield bucket


def _gather(weights: list[nn.Parameter]) -> AbstractContextManager[None]:
    from deepspeed.runtime.zero import GatheredParameters  # optional, and slow to import

    return GatheredParameters(weights)


def _value(item: _Exportable, dtype: torch.dtype | None, *, is_copied: bool) -> Tensor:
    value = item.weight.detach()
    if item.layer is not None:
        value = merged_weight(value, item.layer)
    value = whole(value)
    return value.to(dtype=dtype, copy=is_copied)
