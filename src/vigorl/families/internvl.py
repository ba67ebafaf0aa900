"""InternVL3 and InternVL3.5 in Hugging Face's format, with a Qwen2 or Qwen3 as their text model.

A picture is stretched onto a grid of square tiles (448 px, 256 tokens each), the grid whose aspect
is nearest to its own whatever its size; where that is more than one tile, the whole picture follows
once more, shrunk to one. The tower reads each tile by itself. So here

    a size that is shown     is the grid: columns x tile wide, rows x tile high
    pixels.max_pixels        is the area of the grid, thumbnail apart: 12 tiles are 2,408,448
    pixels.min_pixels        rounds up to whole tiles: of up to one tile it does nothing
    a crop                   has as many tiles as the size at which a tool shows it rounds to:
                             zoom.view_px=448 is one tile, whatever the shape of the window

The grid is stretched first and cut then, and the thumbnail is made of the stretched picture, so
that an engine which is handed that picture makes the same tiles. Positions are plain: no rows, no
columns. Left out: video, text models of experts (their weights have other shapes on disk), and
checkpoints in OpenGVLab's own format (`internvl_chat`, which is code of the checkpoint).

Source: transformers 5.19, `models/internvl` and `models/got_ocr2`; the chat template is that of the
conversion script.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import TextFrame
from vigorl.families.family import ChatLayout, Family, LinearAttention, TinySettings, TowerShape
from vigorl.families.sizing import grid_boxes

CHAT = ChatLayout(
    start="<|im_start|>",
    end="<|im_end|>",
    before_picture="<img>",
    picture="<IMG_CONTEXT>",
    after_picture="</img>",
    pad="<|endoftext|>",
    controls=(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>",
        "<video>",
    ),
    tail="\n",
    is_framed_by_processor=True,
    names=(
        ("start_image_token", "<img>"), ("end_image_token", "</img>"),
        ("context_image_token", "<IMG_CONTEXT>"), ("video_token", "<video>"),
    ),
)  # fmt: skip
TEXT_MODELS = ("qwen2", "qwen3")
PATCH_SIZE, MERGE_SIZE = 14, 2  # of all that were released
HEAD_DIM = 32  # of tiny models
TINY_TILE = 56
TINY_TILE_TOKENS = (TINY_TILE // (PATCH_SIZE * MERGE_SIZE)) ** 2
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class TileSizing:
    """Of a processor that stretches pictures onto a grid of tiles; see `Sizing`.

    Attributes:
        tile: Side of a tile, pixels.
        min_tiles, max_tiles: Of a grid, thumbnail apart.
    """

    tile: int
    min_tiles: int
    max_tiles: int

    @property
    def min_pixels(self) -> int:
        return self.min_tiles * self.tile**2

    @property
    def max_pixels(self) -> int:
        return self.max_tiles * self.tile**2

    @property
    def factor(self) -> int:
        return PATCH_SIZE * MERGE_SIZE

    def within(self, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Self:
        area = self.tile**2
        fewest = self.min_tiles if min_pixels is None else max(-(-min_pixels // area), 1)
        most = self.max_tiles if max_pixels is None else max_pixels // area
        if most < fewest:
            raise ConfigError(
                f"pixels.max_pixels={max_pixels or self.max_pixels} is less than {fewest} "
                f"tile{'s' * (fewest > 1)} of {self.tile}x{self.tile} pixels, the smallest picture "
                f"that this model takes: give at least {fewest * area}"
            )
        return replace(self, min_tiles=fewest, max_tiles=most)

    def fit(self, size: Size) -> Size:
        """See `Sizing`. From 16 tiles on, the processor cuts 3 x 3 tiles anew into 4 x 4."""
        shown = self._canvas(size)
        while (again := self._canvas(shown)) != shown:
            shown = again
        return shown

    def fit_view(self, size: Size) -> Size:
        columns, rows = (max(round(side / self.tile), 1) for side in (size.width, size.height))
        is_within = self.min_tiles <= columns * rows <= self.max_tiles
        return self.fit(Size(columns * self.tile, rows * self.tile) if is_within else size)

    def num_tokens(self, size: Size) -> int:
        return self._num_pieces(size) * (self.tile // self.factor) ** 2

    def grid_thw(self, size: Size) -> tuple[int, int, int]:
        side = self.tile // PATCH_SIZE
        return (self._num_pieces(size), side, side)

    def token_boxes(self, size: Size) -> list[Box]:
        whole = Box(0, 0, size.width, size.height)
        tiles = grid_boxes(whole, side_px=self.tile)
        tokens = [one for tile in tiles for one in grid_boxes(tile, side_px=self.factor)]
        if len(tiles) == 1:
            return tokens
        wider, higher = size.width / self.tile, size.height / self.tile
        thumbnail = grid_boxes(tiles[0], side_px=self.factor)
        return tokens + [
            Box(one.left * wider, one.top * higher, one.right * wider, one.bottom * higher)
            for one in thumbnail
        ]

    def processor_settings(self) -> dict[str, Any]:
        limits = {"min_patches": self.min_tiles, "max_patches": self.max_tiles}
        return {"crop_to_patches": True, **limits}

    def _canvas(self, size: Size) -> Size:
        """What the processor makes of it, once."""
        columns, rows = get_optimal_tiled_canvas(
            (size.height, size.width), (self.tile, self.tile), self.min_tiles, self.max_tiles
        )
        return Size(columns * self.tile, rows * self.tile)

    def _num_pieces(self, size: Size) -> int:
        tiles = (size.width // self.tile) * (size.height // self.tile)
        return tiles + (tiles > 1)


@dataclass(frozen=True)
class InternVL:
    """InternVL3 and InternVL3.5; see `Family`."""

    name: str = "InternVL3"
    model_types: tuple[str, ...] = ("internvl",)
    engines: tuple[str, ...] = ("hf", "vllm", "server", "scripted")
    chat: ChatLayout = CHAT
    frame: TextFrame = TextFrame.PERMILLE
    lora_layers: str = r".*language_model\.layers\..*"
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip

    def sizing(self, processor: Any) -> TileSizing:
        try:
            height, width = int(processor.size["height"]), int(processor.size["width"])
            tiles = TileSizing(height, int(processor.min_patches), int(processor.max_patches))
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{type(processor).__name__} is not an InternVL image processor ({error})"
            ) from error
        if height != width or height % tiles.factor:
            raise ConfigError(
                f"preprocessor_config.json: tiles of {width}x{height} pixels; InternVL's are "
                f"square and of {tiles.factor} pixels to a token, such as 448x448"
            )
        return tiles

    def pixels(self, processor: Any, picture: UInt8[np.ndarray, "height width 3"]) -> Tensor:
        tile, (height, width, _) = processor.size["height"], picture.shape
        tiles = (width // tile) * (height // tile)
        made = processor(
            images=[Image.fromarray(picture)],
            crop_to_patches=True,
            min_patches=tiles,
            max_patches=tiles,
            return_tensors="pt",
        )
        return made["pixel_values"]

    def tower(self, model: PreTrainedModel) -> nn.Module:
        _check_text(model.config)
        parts = ("vision_tower", "multi_modal_projector")
        return nn.ModuleDict({part: model.get_submodule(f"model.{part}") for part in parts})

    def is_merger(self, name: str) -> bool:
        return name.startswith("multi_modal_projector.")

    def tower_shape(self, config: PreTrainedConfig) -> TowerShape:
        vision: Any = config.vision_config
        height, width = vision.image_size
        patch_size, _ = vision.patch_size
        return TowerShape(
            hidden=vision.hidden_size,
            intermediate=vision.intermediate_size,
            depth=vision.num_hidden_layers,
            patch_size=patch_size,
            patch_dim=vision.num_channels * patch_size**2,
            merge_size=_merge_size(config),
            thumbnail_pixels=height * width,
        )

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        _check_text(model.config)
        return model.get_submodule("model.language_model")

    def head_dim(self, config: PreTrainedConfig) -> int:
        text = config.get_text_config()
        own = text.to_dict().get("head_dim")  # Qwen3's
        return own or text.hidden_size // text.num_attention_heads

    def linear_attention(self, config: PreTrainedConfig) -> LinearAttention:
        return LinearAttention()

    def is_sliding(self, model: PreTrainedModel) -> bool:
        return "sliding_attention" in model.config.get_text_config().layer_types

    def feature_width(self, config: PreTrainedConfig) -> int:
        return config.get_text_config().hidden_size

    def blank(self, config: PreTrainedConfig) -> tuple[Tensor, Tensor]:
        vision: Any = config.vision_config
        height, width = vision.image_size
        patch_height, patch_width = vision.patch_size
        pixels = torch.zeros(1, vision.num_channels, height, width)
        return pixels, torch.tensor([[1, height // patch_height, width // patch_width]])

    def num_tokens(self, grid_thw: Tensor, config: PreTrainedConfig) -> Tensor:
        return grid_thw.prod(-1) // _merge_size(config) ** 2

    def num_pieces(self, grid_thw: Tensor) -> Tensor:
        return grid_thw[:, 0]

    def encode(
        self, model: PreTrainedModel, pixel_values: Tensor, grid_thw: Tensor
    ) -> list[Tensor]:
        core: Any = model.model
        made = core.get_image_features(pixel_values, return_dict=True).pooler_output
        return [tiles.flatten(0, 1) for tiles in made.split(grid_thw[:, 0].tolist())]

    def positions(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        grid_thw: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return (mask.long().cumsum(-1) - 1).clamp(min=0).expand(3, -1, -1)

    def position_ids(self, positions: Tensor) -> Tensor:
        return positions[0]

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
        if positions is None:
            positions = self.positions(model, input_ids, grid_thw, attention_mask)
        shown = BaseModelOutputWithPooling(
            pooler_output=features  # pyright: ignore[reportArgumentType]  of all pictures
        )
        return core(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=self.position_ids(positions),
            mm_encoder_outputs={"image": shown} if len(features) else {},
            use_cache=False,
            **attention,
        ).last_hidden_state

    def merge(
        self, embeds: Tensor, is_image: Tensor, features: Tensor
    ) -> tuple[Tensor, dict[str, Any]]:
        embeds[is_image] = features
        return embeds, {}

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        heads = settings.hidden // HEAD_DIM
        return InternVLConfig(
            text_config={
                "model_type": "qwen3",  # InternVL3.5's: as Qwen2's, with norms and a head_dim
                "vocab_size": vocab_size,
                "hidden_size": settings.hidden,
                "intermediate_size": settings.ffn,
                "num_hidden_layers": settings.layers,
                "num_attention_heads": heads,
                "num_key_value_heads": heads,
                "head_dim": HEAD_DIM,
                "max_position_embeddings": settings.max_positions,
                "tie_word_embeddings": True,
                "bos_token_id": ids[CHAT.pad],
                "eos_token_id": ids[CHAT.end],
                "pad_token_id": ids[CHAT.pad],
            },
            vision_config={
                "hidden_size": settings.vision_hidden,
                "intermediate_size": 2 * settings.vision_hidden,
                "num_hidden_layers": settings.vision_depth,
                "num_attention_heads": settings.vision_hidden // HEAD_DIM,
                "image_size": [TINY_TILE, TINY_TILE],
                "patch_size": [PATCH_SIZE, PATCH_SIZE],
                "attention_bias": True,
            },
            image_token_id=ids[CHAT.picture],
            image_seq_length=TINY_TILE_TOKENS,
            tie_word_embeddings=True,
        )

    def tiny_processor(self, settings: TinySettings) -> Any:
        area = TINY_TILE**2
        return GotOcr2ImageProcessorPil(
            size={"height": TINY_TILE, "width": TINY_TILE},
            crop_to_patches=True,
            min_patches=max((settings.min_pixels or area) // area, 1),
            max_patches=max((settings.max_pixels or 4 * area) // area, 1),
            image_mean=IMAGENET_MEAN,
            image_std=IMAGENET_STD,
        )

    def tiny_files(self, settings: TinySettings) -> dict[str, Any]:
        known = {"processor_class": "InternVLProcessor", "image_seq_length": TINY_TILE_TOKENS}
        return {"processor_config.json": known}


FAMILIES: tuple[Family, ...] = (InternVL(),)
_EXPERTS = (
    "a mixture of experts, which are one weight in memory and many in the folder: those cannot be "
    "published yet; dense relatives can: scale=internvl3_8b, scale=internvl3_5_8b"
)
REFUSED = {
    "qwen3_moe": _EXPERTS,
    "gpt_oss": _EXPERTS,
    "internvl_chat": "InternVL in a format whose code comes with the checkpoint: take the folder "
    "of the same name with -hf or -HF behind it",
}


def _merge_size(config: PreTrainedConfig) -> int:
    whole: Any = config
    return round(1 / whole.downsample_ratio)


def _check_text(config: PreTrainedConfig) -> None:
    found = config.get_text_config().model_type
    if found not in TEXT_MODELS:
        raise ConfigError(
            f"InternVL with a text model of type {found} is not supported: take a checkpoint whose "
            f"text_config.model_type is {' or '.join(TEXT_MODELS)}, such as InternVL3-8B-hf"
        )
