"""The size of a model from its config.json alone: built on torch's meta device, counted, thrown
away. No weight is read or made, so a model of any size takes seconds and no memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import torch
from huggingface_hub import hf_hub_url, try_to_load_from_cache
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from vigorl.core.errors import ConfigError
from vigorl.core.memory import ModelSize
from vigorl.families.lookup import family_in, what_to_name
from vigorl.models.policy import Policy
from vigorl.models.pretrained import hub_name, local_folder

TIMEOUT_S = 5  # for the hub


def read_config(folder_or_id: str) -> tuple[dict[str, Any], bool]:
    """A model's config.json: of a folder, of the Hugging Face cache, or from the hub.

    Args:
        folder_or_id: As `Policy.from_pretrained` takes it.
    Returns:
        The config, and whether the weights are on this disk too.
    Raises:
        ConfigError: There is none, or not of a supported family.
    """
    folder = local_folder(folder_or_id)
    if folder is None:
        name, revision = hub_name(folder_or_id) or (folder_or_id, None)
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        folder = Path(cached).parent if isinstance(cached, str) else None
    if folder is None:
        config, has_weights = _from_hub(folder_or_id), False
    else:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        has_weights = any(folder.glob("*.safetensors"))
    family_in(config, where=folder_or_id)
    return config, has_weights


def _from_hub(text: str) -> dict[str, Any]:
    name, revision = hub_name(text) or (text, None)
    # one question: huggingface_hub would ask six times, for half a minute
    try:
        with urlopen(
            hf_hub_url(name, "config.json", revision=revision), timeout=TIMEOUT_S
        ) as answer:
            return json.loads(answer.read())
    except (URLError, TimeoutError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"{text}: no such folder, not in the Hugging Face cache, and the hub gave no "
            f"config.json ({error}); {what_to_name(text)}"
        ) from error


def meta_policy(config: Mapping[str, Any], **settings: Any) -> Policy:
    """A policy without weights, for counting, of a config.json; the settings are `Policy`'s."""
    of_model = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(config["model_type"], **of_model)
        )
        return Policy(model, **settings)


def measure_model(config: Mapping[str, Any], **settings: Any) -> ModelSize:
    """Count a model's weights, and those that learn, as `Policy.from_pretrained` would leave them.

    Args:
        config: config.json.
        settings: Those of `Policy` that say what learns.
    Raises:
        ConfigError: Settings that exclude each other.
    """
    policy = meta_policy(config, **settings)
    model, family = policy.model, policy.family
    text = model.config.get_text_config()
    tower, linear = family.tower_shape(model.config), family.linear_attention(model.config)
    return ModelSize(
        num_params=_count(model),
        num_vision_params=_count(family.tower(model)),
        num_trainable=sum(w.numel() for w in model.parameters() if w.requires_grad),
        num_adapter=sum(w.numel() for name, w in model.named_parameters() if ".lora_" in name),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        kv_width=text.num_key_value_heads * family.head_dim(model.config),
        vocab=text.vocab_size,
        feature_width=policy.feature_width,
        vision_hidden=tower.hidden,
        vision_intermediate=tower.intermediate,
        vision_depth=tower.depth,
        patch_dim=tower.patch_dim,
        patches_per_token=tower.merge_size**2,
        pixels_per_token=(tower.patch_size * tower.merge_size) ** 2,
        thumbnail_pixels=tower.thumbnail_pixels,
        num_head=_count_head(policy.model),
        is_head_trained=policy.model.lm_head.weight.requires_grad,  # pyright: ignore
        linear_layers=len(linear.layers),
        linear_state=linear.state,
        linear_width=linear.width,
        norms=_count_norms(family.language_model(policy.model)),
    )


def _count_head(model: PreTrainedModel) -> int:
    of_input = {id(weight) for weight in model.get_input_embeddings().parameters()}
    head = model.get_output_embeddings()
    assert head is not None
    return sum(weight.numel() for weight in head.parameters() if id(weight) not in of_input)


def _count_norms(language: nn.Module) -> int:
    names = dict(language.get_submodule("layers.0").named_parameters())
    return sum(name.endswith("layernorm.weight") for name in names)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
