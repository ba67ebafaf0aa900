"""Random models of a few thousand weights, and batches for them, by hand.

Ids: 1 placeholder, 3 vision start, 4 vision end, 0 padding, 5-9 text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.data.collate import TrainingBatch
from vigorl.models.policy import Policy

IMAGE, VIDEO, START, END = 1, 2, 3, 4
FAMILIES = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5", "glm4v")

_IDS: dict[str, Any] = {
    "image_token_id": IMAGE, "video_token_id": VIDEO,
    "vision_start_token_id": START, "vision_end_token_id": END,
}  # fmt: skip
_TEXT: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
}  # fmt: skip
_LINEAR = {
    "num_hidden_layers": 4, "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "rope_parameters": _TEXT["rope_parameters"] | {"partial_rotary_factor": 1.0},
}  # fmt: skip
_VISION = {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2}


def make_model(family: str = "qwen2_5_vl", *, seed: int = 0, tied: bool = False) -> PreTrainedModel:
    """A random model in fp32, hidden 64, 2 + 2 layers (Qwen3.5: 2 + 4)."""
    torch.manual_seed(seed)
    if family == "qwen2_vl":
        vision = _VISION | {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2, "patch_size": 14}
        config: Any = Qwen2VLConfig(text_config=_TEXT, vision_config=vision, **_IDS)
        return Qwen2VLForConditionalGeneration(config)
    vision = _VISION | {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64}
    if family == "qwen3_vl":
        vision |= {"patch_size": 16, "num_position_embeddings": 64}
        vision |= {"deepstack_visual_indexes": [0, 1]}
        config = Qwen3VLConfig(text_config=_TEXT | {"head_dim": 16}, vision_config=vision, **_IDS)
        return Qwen3VLForConditionalGeneration(config)
    if family == "qwen3_5":
        vision |= {"patch_size": 16, "num_position_embeddings": 64}
        config = Qwen3_5Config(text_config=_TEXT | _LINEAR, vision_config=vision, **_IDS)
        return Qwen3_5ForConditionalGeneration(config)
    if family == "glm4v":
        rope = _TEXT["rope_parameters"] | {"partial_rotary_factor": 0.5, "mrope_section": [1, 1, 2]}
        config = Glm4vConfig(
            text_config=_TEXT | {"rope_parameters": rope},
            vision_config=vision | {"image_size": 112},
            image_token_id=IMAGE, video_token_id=VIDEO,
        )  # fmt: skip
        return Glm4vForConditionalGeneration(config)
    vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=_TEXT, vision_config=vision, tie_word_embeddings=tied, **_IDS
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def make_policy(family: str = "qwen2_5_vl", *, seed: int = 0, **settings: Any) -> Policy:
    return Policy(make_model(family, seed=seed), **settings)


def save_folder(folder: Path, family: str = "qwen2_5_vl", *, tied: bool = False) -> PreTrainedModel:
    """A folder as transformers writes it, with stand-ins for tokenizer and image processor."""
    model = make_model(family, tied=tied)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "preprocessor_config.json").write_text(json.dumps({"patch_size": 14}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return model


def make_view(number: int, grid: Sequence[int]) -> ImageView:
    size = Size(14 * grid[1], 14 * grid[0])
    return ImageView(FileImage(f"{number}.png"), original=size, size=size)


def make_pixels(view: ImageView, *, patch: int = 14) -> Tensor:
    """Noise that depends on the file name alone: [patches, 3 * 2 * patch ** 2]."""
    noise = torch.Generator().manual_seed(int(view.path.removesuffix(".png")))
    num_patches = (view.size.width // 14) * (view.size.height // 14)
    return torch.randn(num_patches, 6 * patch * patch, generator=noise)


def make_batch(
    *rows: Sequence[tuple[int, int]], side: str = "right", patch: int = 14, shared: bool = False
) -> TrainingBatch:
    """One row per argument, a picture per (patch rows, patch columns), four scored tokens after it.

    `[(4, 4), (2, 4)]` is: 5, picture of 4 tokens, 6 7 8 9, picture of 2 tokens, 6 7 8 9. `shared`
    gives pictures of the same grid the same file.
    """
    ids: list[list[int]] = []
    masks: list[list[int]] = []
    views: list[ImageView] = []
    for row in rows:
        ids.append([5])
        masks.append([0])
        for grid in row or [None]:
            if grid is not None:
                pads = [IMAGE] * (grid[0] * grid[1] // 4)
                ids[-1] += [START, *pads, END]
                masks[-1] += [0] * (len(pads) + 2)
                views.append(make_view(sum(grid) if shared else len(views), grid))
            ids[-1] += [6, 7, 8, 9]
            masks[-1] += [1, 1, 0, 1]
    length = max(map(len, ids))

    def pad(values: list[list[int]]) -> Tensor:
        filled = [[0] * (length - len(value)) for value in values]
        pairs = zip(values, filled, strict=True)
        return torch.tensor([v + f if side == "right" else f + v for v, f in pairs])

    grids = [grid for row in rows for grid in row]
    pixels = [make_pixels(view, patch=patch) for view in views]
    num_scored = sum(map(sum, masks))
    return TrainingBatch(
        input_ids=pad(ids),
        attention_mask=pad([[1] * len(row) for row in ids]),
        loss_mask=pad(masks).bool(),
        token_weight=torch.full((len(rows),), 1 / num_scored),
        advantages=torch.linspace(-1, 1, len(rows))[:, None].expand(-1, length).clone(),
        sampling_logprobs=None,
        image_grid_thw=torch.tensor([[1, *grid] for grid in grids], dtype=torch.long).reshape(
            -1, 3
        ),
        views=tuple(views),
        pixel_values=torch.cat(pixels) if pixels else None,
    )


def patch_of(family: str) -> int:
    return 16 if family.startswith("qwen3") else 14


def grads(module: torch.nn.Module) -> dict[str, Tensor]:
    """Gradients by name, and cleared."""
    found = {n: w.grad.clone() for n, w in module.named_parameters() if w.grad is not None}
    module.zero_grad()
    return found


def assert_same_grads(
    left: dict[str, Tensor], right: dict[str, Tensor], *, atol: float = 1e-6
) -> None:
    assert left.keys() == right.keys()
    for name, grad in left.items():
        torch.testing.assert_close(grad, right[name], atol=atol, rtol=1e-4, msg=name)
