from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, Glm4vConfig, Qwen2_5_VLConfig, Qwen3_5Config

from vigorl.build import ASSETS
from vigorl.core.errors import ConfigError
from vigorl.core.memory import LearningLoad, activation_bytes
from vigorl.families.lookup import family_named
from vigorl.models.lora import LoraSettings
from vigorl.models.model_size import measure_model, read_config
from vigorl.models.policy import Policy
from vigorl.models.shared_prefix import SharedPacking, prepare_sharing

START = ASSETS / "tiny_start"
TEXT_7B = {
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
}
VISION_7B = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "out_hidden_size": 3584,
    "patch_size": 14,
    "num_heads": 16,
}


def qwen_7b(folder: Path) -> Path:
    """A folder with the config of Qwen2.5-VL-7B's shape, and an empty file for its weights."""
    config = {"model_type": "qwen2_5_vl", "tie_word_embeddings": False}
    config |= {"text_config": TEXT_7B, "vision_config": VISION_7B}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"freeze_vision_tower": False},
        {"freeze_merger": False},
        {"freeze_merger": False, "freeze_language_model": True},
        {"lora": LoraSettings(rank=4, target_modules=("q_proj",))},
    ],
)
def test_the_tiny_start_counts_as_it_loads(settings: dict[str, Any]) -> None:
    config, has_weights = read_config(str(START))
    size = measure_model(config, **settings)
    policy = Policy.from_pretrained(START, dtype="float32", **settings)
    weights = list(policy.parameters())
    assert has_weights
    assert size.num_params == sum(w.numel() for w in weights)
    assert size.num_trainable == sum(w.numel() for w in weights if w.requires_grad)
    assert size.is_head_trained == (settings.keys() <= {"freeze_vision_tower", "freeze_merger"})
    tower = policy.family.tower(policy.model)
    assert size.num_vision_params == sum(weight.numel() for weight in tower.parameters())
    assert size.feature_width == policy.feature_width
    adapters = sum(w.numel() for n, w in policy.named_parameters() if ".lora_" in n)
    assert size.num_adapter == adapters
    assert bool(adapters) == ("lora" in settings)


def test_seven_billion_weights_are_counted_without_one_of_them(tmp_path: Path) -> None:
    config, has_weights = read_config(str(qwen_7b(tmp_path / "7b")))
    size = measure_model(config)
    # a tower layer: two norms, qkv, projection, gate and up, down
    layer = 2 * 1280 + 1280 * 3840 + 3840 + 1280**2 + 1280
    layer += 2 * (1280 * 3420 + 3420) + 3420 * 1280 + 1280
    merger = 1280 + 5120 * 5120 + 5120 + 5120 * 3584 + 3584
    tower = 1280 * 3 * 2 * 14 * 14 + 32 * layer + merger
    # a layer of the language model: q, k and v, o, gate and up and down, two norms
    layer = 3584**2 + 3584 + 2 * (3584 * 512 + 512) + 3584**2 + 3 * 3584 * 18944 + 2 * 3584
    language = 2 * 152064 * 3584 + 28 * layer + 3584
    assert (tower, language) == (676_550_144, 7_615_616_512)
    assert has_weights
    assert size.num_vision_params == tower
    assert size.num_params == tower + language == 8_292_166_656
    assert size.num_trainable == language
    assert (size.kv_width, size.pixels_per_token, size.patch_dim) == (512, 784, 1176)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        read_config(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"no config\.json"):
        read_config(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="'bert' is not one of"):
        read_config(str(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_5", "glm4v", "shared"])
def test_activations_are_what_autograd_saves(dtype: torch.dtype, family: str) -> None:
    text = TEXT_7B | {
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 2,  # of 128, as the rotary sections take
        "num_key_value_heads": 1,
        "intermediate_size": 1024,
        "vocab_size": 64,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    vision = VISION_7B | {"depth": 1, "hidden_size": 64, "num_heads": 2, "out_hidden_size": 256}
    config: Any = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    if family == "qwen3_5":
        text |= {"head_dim": 128, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
        config = Qwen3_5Config(text_config=text, vision_config=vision)
    if family == "glm4v":
        rope = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
        text |= {"rope_parameters": rope | {"mrope_section": [8, 12, 12]}}
        config = Glm4vConfig(text_config=text, vision_config=vision, image_token_id=63)
    model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    batch, tokens, shared = 2, 64, 0
    row, told = torch.zeros(batch, tokens, dtype=torch.long), {}
    if family == "shared":  # the first 48 of each of 4 sequences
        batch, shared = 4, 3 * 48
        ids = torch.zeros(batch, tokens, dtype=torch.long)
        ids[:, 48] = torch.arange(batch)
        packing = SharedPacking.of(ids, torch.ones_like(ids), torch.full_like(ids, -1))
        prepare_sharing(model, family_named("qwen2_5_vl", where=""))
        places = packing.row(torch.arange(tokens).expand(batch, -1)).expand(3, 1, -1)
        row, told = packing.row(ids), {"position_ids": places, **packing.told(model)}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = model.model(input_ids=row, use_cache=False, **told)
    assert kept.last_hidden_state.requires_grad
    load = LearningLoad(
        weight_bytes=dtype.itemsize,
        compute_bytes=dtype.itemsize,
        num_ranks=1,
        zero_stage=None,
        reference_bytes=None,
        micro_batch_size=batch,
        sequence_tokens=tokens,
        response_tokens=tokens,
        picture_tokens=0,
        is_tower_trained=False,
        is_checkpointed=False,
        logits_chunk_tokens=1,
        vocab_tile=16_384,
        shared_tokens=shared,
    )
    estimate = activation_bytes(measure_model(config.to_dict()), load)
    # what stands above the layers, and the layer whose gradients are counted too: 13 / 12
    assert 1.0 <= estimate / sum(saved.values()) <= (1.3 if family == "qwen3_5" else 1.2)
