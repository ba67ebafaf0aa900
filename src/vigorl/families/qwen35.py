"""Qwen3.5, dense, with its pictures.

Chat, image processor, M-RoPE and tower are Qwen3-VL's, without deepstack. Its language model is
another: of four layers three keep a convolution's and a delta rule's state of all that they read,
and only the fourth keys and values, of which a quarter of each head turns with the position.

Its own template opens every assistant turn with `<think>` in the prompt; here the policy writes
that tag itself, as with every family: it is the next token that it was taught in any case, and a
turn is then what was sampled, whole. Calls are JSON by default; `markup=xml` is how it was taught
to write them.

Left out: the mixture of experts (see `REFUSED`); the extra layer that predicts a second
token (`mtp.*`, which transformers does not load).

Source: transformers 5.19, `models/qwen3_5`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, Qwen3_5Config

from vigorl.core.errors import ConfigError
from vigorl.core.media import TextFrame
from vigorl.families.family import Family, LinearAttention, TinySettings
from vigorl.families.qwen_vl import Qwen25VL, tiny_ids, tiny_text

HEAD_DIM = 64  # of tiny models: 16 numbers turn
PERIOD = 4  # layers, the last of which has keys and values


@dataclass(frozen=True)
class Qwen35(Qwen25VL):
    """See `Family`."""

    name: str = "Qwen3.5"
    model_types: tuple[str, ...] = ("qwen3_5",)
    frame: TextFrame = TextFrame.PERMILLE
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "in_proj_z", "out_proj",
        "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    patch_size: int = 16

    def head_dim(self, config: PreTrainedConfig) -> int:
        return config.get_text_config().head_dim

    def linear_attention(self, config: PreTrainedConfig) -> LinearAttention:
        text: Any = config.get_text_config()
        keys = text.linear_num_key_heads * text.linear_key_head_dim
        values = text.linear_num_value_heads * text.linear_value_head_dim
        convolution = (2 * keys + values) * text.linear_conv_kernel_dim
        kinds = enumerate(text.layer_types)
        return LinearAttention(
            layers=tuple(i for i, kind in kinds if kind == "linear_attention"),
            state=convolution + values * text.linear_key_head_dim,
            width=values,
        )

    def is_sliding(self, model: PreTrainedModel) -> bool:
        return False

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        if settings.layers < PERIOD or settings.hidden % HEAD_DIM:
            raise ConfigError(
                f"tiny.layers={settings.layers}, tiny.hidden={settings.hidden}: a tiny {self.name} "
                f"needs at least {PERIOD} layers, or none has keys and values, and a width in "
                f"heads of {HEAD_DIM}"
            )
        heads = settings.hidden // HEAD_DIM
        text = tiny_text(settings, ids, vocab_size, sections=[3, 3, 2])
        rope = {"mrope_interleaved": True, "partial_rotary_factor": 0.25}
        return Qwen3_5Config(
            text_config=text | {
                "num_attention_heads": heads,
                "num_key_value_heads": heads,
                "head_dim": HEAD_DIM,
                "linear_key_head_dim": HEAD_DIM,
                "linear_value_head_dim": HEAD_DIM,
                "linear_num_key_heads": heads,
                "linear_num_value_heads": heads,
                "rope_parameters": text["rope_parameters"] | rope,
            },
            vision_config=self._tiny_tower(settings) | {
                "hidden_size": settings.vision_hidden,
                "intermediate_size": 2 * settings.vision_hidden,
                "out_hidden_size": settings.hidden,
                "num_position_embeddings": 8 * 8,  # one per patch of a whole picture
            },
            **tiny_ids(ids),
        )  # fmt: skip


FAMILIES: tuple[Family, ...] = (Qwen35(),)
_WHY = (
    "Qwen3.5 with experts: they are one weight in memory and many in its folder, and such weights "
    "cannot be published yet; take a dense one, such as Qwen/Qwen3.5-9B"
)
REFUSED = {"qwen3_5_moe": _WHY, "qwen3_5_moe_text": _WHY}
