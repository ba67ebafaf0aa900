"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL.

They share the chat, the image processor, M-RoPE and the names of the modules. They differ in the
patch (14, 14, 16 pixels, two by two of them a token), in the coordinates that they were taught
(0-1000; pixels as shown; 0-1000), in the width of a head (Qwen3-VL's is its own), and in deepstack:
Qwen3-VL's tower gives features at several depths, which are ADDED to the hidden states of picture
tokens after the first layers of the language model. Left out, they are missed in silence.

Source: transformers 5.19, `models/qwen2_vl`, `qwen2_5_vl`, `qwen3_vl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor, nn
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from vigorl.core.errors import ConfigError
from vigorl.core.media import TextFrame
from vigorl.families.family import ChatLayout, Family, LinearAttention, TinySettings, TowerShape
from vigorl.families.sizing import PatchSizing

CHAT = ChatLayout(
    start="<|im_start|>",
    end="<|im_end|>",
    before_picture="<|vision_start|>",
    picture="<|image_pad|>",
    after_picture="<|vision_end|>",
    pad="<|endoftext|>",
    controls=(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
    ),
)  # fmt: skip
MERGE_SIZE = 2
HEAD_DIM = 32  # of tiny models


def _patches(
    picture: UInt8[np.ndarray, "height width 3"], *, patch_size: int, merge_size: int
) -> UInt8[np.ndarray, "patches 3 inner"]:
    """In the order of the tower: those of one token stand together."""
    rows, columns = (side // (patch_size * merge_size) for side in picture.shape[:2])
    cut = picture.reshape(rows, merge_size, patch_size, columns, merge_size, patch_size, 3)
    return cut.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3, patch_size**2)


@lru_cache(maxsize=16)  # a processor is asked about by each of its pictures
def _values_of_bytes(processor: Any) -> Float32[np.ndarray, "3 256"]:
    """What the processor makes of each byte of each channel: of a picture that has all of them."""
    side = processor.patch_size * processor.merge_size  # 28 or more: at least 256 places
    height = side * -(-256 // side**2)
    every = np.arange(height * side, dtype=np.int64).reshape(height, side, 1) % 256
    every = np.repeat(every.astype(np.uint8), 3, axis=2)
    made = processor(images=[Image.fromarray(every)], do_resize=False, return_tensors="np")
    cut = _patches(every, patch_size=processor.patch_size, merge_size=processor.merge_size)
    frames = made["pixel_values"].reshape(len(cut), 3, processor.temporal_patch_size, -1)
    values = np.empty((3, 256), dtype=np.float32)
    for channel in range(3):
        values[channel, cut[:, channel]] = frames[:, channel, 0]
    return values


@dataclass(frozen=True)
class Qwen25VL:
    """Qwen2.5-VL, and what the others share with it; see `Family`."""

    name: str = "Qwen2.5-VL"
    model_types: tuple[str, ...] = ("qwen2_5_vl",)
    engines: tuple[str, ...] = ("hf", "vllm", "server", "scripted")
    chat: ChatLayout = CHAT
    frame: TextFrame = TextFrame.PIXELS
    lora_layers: str = r".*language_model\.layers\..*"
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    patch_size: int = 14  # of tiny models; of others their processor's

    def sizing(self, processor: Any) -> PatchSizing:
        try:
            return PatchSizing(
                int(processor.patch_size),
                int(processor.merge_size),
                int(processor.size["shortest_edge"]),
                int(processor.size["longest_edge"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{type(processor).__name__} is not a Qwen2-VL style image processor ({error})"
            ) from error

    def pixels(self, processor: Any, picture: UInt8[np.ndarray, "height width 3"]) -> Tensor:
        """Bit for bit what the processor makes, in a third of the time: it maps each byte by
        itself, so what becomes of one is looked up. A test holds this for every family.
        """
        cut = _patches(picture, patch_size=processor.patch_size, merge_size=processor.merge_size)
        num, _, inner = cut.shape
        made = np.empty((num, 3, processor.temporal_patch_size, inner), dtype=np.float32)
        for channel, values in enumerate(_values_of_bytes(processor)):
            made[:, channel] = values[cut[:, channel]][:, None]
        return torch.from_numpy(made.reshape(num, -1))

    def tower(self, model: PreTrainedModel) -> nn.Module:
        return model.get_submodule("model.visual")

    def is_merger(self, name: str) -> bool:
        return "merger" in name  # deepstack's are called so as well

    def tower_shape(self, config: PreTrainedConfig) -> TowerShape:
        vision: Any = config.vision_config
        token_px = vision.patch_size * vision.spatial_merge_size
        whole = getattr(vision, "fullatt_block_indexes", None)  # Qwen2.5-VL's has windows
        return TowerShape(
            hidden=self._tower_width(vision),
            intermediate=self._tower_inner_width(vision),
            depth=vision.depth,
            patch_size=vision.patch_size,
            patch_dim=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
            merge_size=vision.spatial_merge_size,
            window=0
            if whole is None
            else vision.window_size // token_px * vision.spatial_merge_size,
            window_depth=0 if whole is None else vision.depth - len(whole),
        )

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        return model.get_submodule("model.language_model")

    def head_dim(self, config: PreTrainedConfig) -> int:
        text = config.get_text_config()
        return text.hidden_size // text.num_attention_heads

    def linear_attention(self, config: PreTrainedConfig) -> LinearAttention:
        return LinearAttention()

    def is_sliding(self, model: PreTrainedModel) -> bool:
        language: Any = self.language_model(model)
        return language.has_sliding_layers

    def feature_width(self, config: PreTrainedConfig) -> int:
        return config.get_text_config().hidden_size

    def blank(self, config: PreTrainedConfig) -> tuple[Tensor, Tensor]:
        shape = self.tower_shape(config)
        side = shape.merge_size
        return torch.zeros(side * side, shape.patch_dim), torch.tensor([[1, side, side]])

    def num_tokens(self, grid_thw: Tensor, config: PreTrainedConfig) -> Tensor:
        return grid_thw.prod(-1) // self.tower_shape(config).merge_size ** 2

    def num_pieces(self, grid_thw: Tensor) -> Tensor:
        return grid_thw.prod(-1)

    def encode(
        self, model: PreTrainedModel, pixel_values: Tensor, grid_thw: Tensor
    ) -> list[Tensor]:
        core: Any = model.model
        output = core.get_image_features(pixel_values, grid_thw, return_dict=True)
        return self._features(output)

    def positions(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        grid_thw: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        core: Any = model.model
        positions, _ = core.get_rope_index(
            input_ids,
            mm_token_type_ids=_token_types(model, input_ids),
            image_grid_thw=grid_thw if len(grid_thw) else None,
            attention_mask=attention_mask,
        )
        return positions

    def position_ids(self, positions: Tensor) -> Tensor:
        return positions

    def read(
        self,
        model: PreTrainedModel,
        *,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        grid_thw: Tensor,
        features: Tensor,
        positions: Tensor | None = None,
        **attention: Any,
    ) -> Tensor:
        core: Any = model.model
        hidden = model.config.get_text_config().hidden_size
        return core(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=None if positions is None else self.position_ids(positions),
            image_grid_thw=grid_thw,
            mm_token_type_ids=_token_types(model, input_ids),
            mm_encoder_outputs={"image": _tower_output(features, hidden)} if len(features) else {},
            use_cache=False,
            **attention,
        ).last_hidden_state

    def merge(
        self, embeds: Tensor, is_image: Tensor, features: Tensor
    ) -> tuple[Tensor, dict[str, Any]]:
        embeds[is_image] = features
        return embeds, {}

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        return Qwen2_5_VLConfig(
            text_config=tiny_text(settings, ids, vocab_size, sections=[4, 6, 6]),
            vision_config=self._tiny_tower(settings) | {
                "hidden_size": settings.vision_hidden,
                "intermediate_size": 2 * settings.vision_hidden,
                "out_hidden_size": settings.hidden,
                "window_size": 4 * self.patch_size * MERGE_SIZE,
                "fullatt_block_indexes": list(range(settings.vision_depth)),
            },
            **tiny_ids(ids),
        )  # fmt: skip

    def tiny_processor(self, settings: TinySettings) -> Any:
        factor = self.patch_size * MERGE_SIZE
        size = {
            "shortest_edge": settings.min_pixels or (2 * factor) ** 2,
            "longest_edge": settings.max_pixels or (4 * factor) ** 2,
        }
        return Qwen2VLImageProcessorPil(
            size=size, patch_size=self.patch_size, merge_size=MERGE_SIZE, temporal_patch_size=2
        )

    def tiny_files(self, settings: TinySettings) -> dict[str, Any]:
        return {}

    def _tower_width(self, vision: Any) -> int:
        return vision.hidden_size

    def _tower_inner_width(self, vision: Any) -> int:
        return vision.intermediate_size

    def _features(self, output: Any) -> list[Tensor]:
        return list(output.pooler_output)

    def _tiny_tower(self, settings: TinySettings) -> dict[str, Any]:
        return {
            "depth": settings.vision_depth,
            "num_heads": settings.vision_hidden // HEAD_DIM,
            "patch_size": self.patch_size,
            "spatial_merge_size": MERGE_SIZE,
            "temporal_patch_size": 2,
        }


@dataclass(frozen=True)
class Qwen2VL(Qwen25VL):
    """Qwen2-VL: `hidden_size` of its tower's config is the language model's."""

    name: str = "Qwen2-VL"
    model_types: tuple[str, ...] = ("qwen2_vl",)
    frame: TextFrame = TextFrame.PERMILLE

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        return Qwen2VLConfig(
            text_config=tiny_text(settings, ids, vocab_size, sections=[4, 6, 6]),
            vision_config=self._tiny_tower(settings) | {
                "embed_dim": settings.vision_hidden,
                "hidden_size": settings.hidden,
                "mlp_ratio": 2,
            },
            **tiny_ids(ids),
        )  # fmt: skip

    def _tower_width(self, vision: Any) -> int:
        return vision.embed_dim

    def _tower_inner_width(self, vision: Any) -> int:
        return int(vision.mlp_ratio * vision.embed_dim)


@dataclass(frozen=True)
class Qwen3VL(Qwen25VL):
    """Qwen3-VL, dense."""

    name: str = "Qwen3-VL"
    model_types: tuple[str, ...] = ("qwen3_vl",)
    frame: TextFrame = TextFrame.PERMILLE
    patch_size: int = 16

    def head_dim(self, config: PreTrainedConfig) -> int:
        return config.get_text_config().head_dim

    def is_sliding(self, model: PreTrainedModel) -> bool:
        return False

    def feature_width(self, config: PreTrainedConfig) -> int:
        vision: Any = config.vision_config
        num_levels = len(vision.deepstack_visual_indexes)
        return config.get_text_config().hidden_size * (1 + num_levels)

    def merge(
        self, embeds: Tensor, is_image: Tensor, features: Tensor
    ) -> tuple[Tensor, dict[str, Any]]:
        merged, *levels = features.split(embeds.shape[-1], dim=-1)
        embeds[is_image] = merged
        return embeds, {"visual_pos_masks": is_image, "deepstack_visual_embeds": levels}

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        text = tiny_text(settings, ids, vocab_size, sections=[6, 5, 5])
        text["rope_parameters"]["mrope_interleaved"] = True  # vLLM asks; transformers always does
        return Qwen3VLConfig(
            text_config=text | {"head_dim": HEAD_DIM},
            vision_config=self._tiny_tower(settings) | {
                "hidden_size": settings.vision_hidden,
                "intermediate_size": 2 * settings.vision_hidden,
                "out_hidden_size": settings.hidden,
                "num_position_embeddings": 8 * 8,  # one per patch of a whole picture
                "deepstack_visual_indexes": list(range(settings.vision_depth))[:2],
            },
            **tiny_ids(ids),
        )  # fmt: skip

    def _features(self, output: Any) -> list[Tensor]:
        """Of the last layer, and beside it of each deepstack level."""
        levels = (output.pooler_output, *output.deepstack_features)
        return [torch.cat(parts, dim=-1) for parts in zip(*levels, strict=True)]


FAMILIES: tuple[Family, ...] = (Qwen2VL(), Qwen25VL(), Qwen3VL())


def _token_types(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """1 on placeholders: without it Qwen2.5-VL silently takes 1-D positions."""
    return (input_ids == model.config.image_token_id).int()


def _tower_output(features: Tensor, hidden: int) -> BaseModelOutputWithDeepstackFeatures:
    """Finished features as transformers' models take them from their own tower."""
    merged, *levels = features.split(hidden, dim=-1)
    return BaseModelOutputWithDeepstackFeatures(
        pooler_output=(merged,),  # pyright: ignore[reportArgumentType]  one tensor per picture, or of all
        deepstack_features=[(level,) for level in levels],  # pyright: ignore[reportArgumentType]
    )


def tiny_text(
    settings: TinySettings, ids: dict[str, int], vocab_size: int, *, sections: list[int]
) -> dict[str, Any]:
    """`sections` are pairs of a head's numbers that turn with time, row and column: 16 in all where
    the whole head turns.
    """
    heads = settings.hidden // HEAD_DIM
    return {
        "vocab_size": vocab_size,
        "hidden_size": settings.hidden,
        "intermediate_size": settings.ffn,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": settings.max_positions,
        "tie_word_embeddings": True,
        "bos_token_id": ids[CHAT.pad],
        "eos_token_id": ids[CHAT.end],
        "pad_token_id": ids[CHAT.pad],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": sections,
        },
    }


def tiny_ids(ids: dict[str, int]) -> dict[str, Any]:
    """Of the tokens that stand for pictures and around them."""
    return {
        "image_token_id": ids[CHAT.picture],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids[CHAT.before_picture],
        "vision_end_token_id": ids[CHAT.after_picture],
        "tie_word_embeddings": True,
    }
