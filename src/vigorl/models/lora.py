"""Low-rank adapters on the language model, through peft. The vision tower never gets one.

The adapters are injected in place, so the policy's module tree and its forward stay those of the
plain model. Left out: several adapters at once, and training on from an adapter folder (a saved
policy is always a merged, plain model; `model_sources` merges folders of others).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vigorl.core.errors import ConfigError
from vigorl.families.family import Family


@runtime_checkable
class LoraLayer(Protocol):
    """What is used of a layer that peft put adapters on."""

    scaling: Mapping[str, float]

    @property
    def active_adapters(self) -> Sequence[str]: ...

    def get_delta_weight(self, adapter: str) -> Tensor: ...

    def enable_adapters(self, enabled: bool) -> None: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What peft is told.

    Attributes:
        rank: Inner dimension of the adapters.
        alpha: The adapter's output is scaled by alpha / rank.
        dropout: On the adapter's input, in training steps alone. Above 0 the policy of a step is
            another one than that which sampled, so the start's logprobs take a pass of their own.
        target_modules: Names of the linear layers, looked for in the language model's layers only;
            None takes all of the model's family.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target_modules: Sequence[str] | None = None


def add_lora(model: nn.Module, settings: LoraSettings, *, family: Family) -> None:
    """Put float32 adapters into `model` in place; afterwards only they are trainable.

    Raises:
        ConfigError: No layer of the language model has one of the names.
    """
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import, and rarely wanted

    targets = settings.target_modules or family.lora_targets
    names = "|".join(targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType]  peft scales by a float as well
        lora_dropout=settings.dropout,
        target_modules=rf"{family.lora_layers}\.({names})",
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules={list(targets)}: {error}") from error
    for layer in lora_layers(model).values():
        for weight in lora_weights(layer):  # peft follows the dtype of the weights beside them
            weight.data = weight.data.float()


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """The adapted layers by module name; empty without adapters."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def lora_weights(layer: LoraLayer) -> list[nn.Parameter]:
    """The parameters of one layer's adapters."""
    return [weight for name, weight in layer.named_parameters() if "lora_" in name]


def merged_weight(weight: Tensor, layer: LoraLayer) -> Tensor:
    """A copy of `weight`, in its dtype, with the layer's adapters added to it in fp32."""
    with torch.no_grad():
        merged = weight.detach().float()
        for adapter in layer.active_adapters:
            merged = merged + layer.get_delta_weight(adapter).float()
        return merged.to(weight.dtype)


def scaled_halves(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """Copies of A [rank, in] and B [out, rank] of the one adapter: what the layer adds to its
    output is B A input, its scale inside B.
    """
    (adapter,) = layer.active_adapters
    down, up = (weight.detach() for weight in lora_weights(layer))
    return down.clone(), up * layer.scaling[adapter]


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the one that the adapters were put on: a reference for no memory."""
    layers = lora_layers(model).values()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
