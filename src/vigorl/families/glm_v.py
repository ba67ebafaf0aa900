"""GLM-4.1V and GLM-4.6V, dense: one architecture under two names (GLM-4.6V-Flash is of either).

They have Qwen2.5-VL's interface in transformers, M-RoPE and patches. They differ in the chat, where
the token of the next role ends a message, and whose tags of thoughts, answers and calls may be
control tokens; in the image processor, which counts a still as two frames and scales a picture up
whose short side is less than a token; in the merger, which begins with the tower's last norm and a
convolution that folds 2 x 2 patches; and in the language model: few heads of keys and values, half
of a head turns, gate and up are one layer. The learned table of the tower's places is read
bicubically for every shape, which is transformers' own doing.

Source: transformers 5.19, `models/glm4v`, `glm46v`; for the chat ms-swift 018a548,
`swift/llm/template/template/glm.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import (
    Glm4vConfig,
    Glm4vImageProcessorPil,
    Glm46VConfig,
    Glm46VImageProcessorPil,
)
from transformers.models.glm4v.image_processing_pil_glm4v import smart_resize

from vigorl.core.geometry import Size
from vigorl.core.media import TextFrame
from vigorl.families.family import ChatLayout, Family, TinySettings
from vigorl.families.qwen_vl import HEAD_DIM, MERGE_SIZE, Qwen25VL
from vigorl.families.sizing import PatchSizing

CHAT = ChatLayout(
    start="",
    end="<|user|>",
    before_picture="<|begin_of_image|>",
    picture="<|image|>",
    after_picture="<|end_of_image|>",
    pad="<|endoftext|>",
    controls=(
        "<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>",
        "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>",
        "<|end_of_video|>", "<|image|>", "<|video|>",
    ),
    opening=("[gMASK]", "<sop>"),
    roles=(
        ("system", "<|system|>"), ("user", "<|user|>"), ("assistant", "<|assistant|>"),
        ("tool", "<|observation|>"),
    ),
    stops=("<|endoftext|>",),
    spoken=(
        "<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>",
        "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
    ),
    unspoken=("<|begin_of_box|>", "<|end_of_box|>"),
)  # fmt: skip
_WHY = (
    "a mixture of experts, which are one weight in memory and many in the folder: those cannot be "
    "published yet; its dense relatives can: scale=glm4_1v_9b, scale=glm4_6v_flash"
)
REFUSED = {
    "glm4v_moe": _WHY,
    "glm4v_moe_text": _WHY,
    "glm46v engine=vllm": "vLLM 0.32 has no class for Glm46VForConditionalGeneration",
}


@dataclass(frozen=True, slots=True)
class GLMSizing(PatchSizing):
    """As Qwen's but for two things: the processor's limits are of all frames of a still, and a
    picture with a side shorter than a token is scaled up before anything else.

    Attributes:
        frames: Of a still.
    """

    frames: int = 2

    def processor_settings(self) -> dict[str, Any]:
        shortest, longest = self.frames * self.min_pixels, self.frames * self.max_pixels
        return {"size": {"shortest_edge": shortest, "longest_edge": longest}}

    def _resized(self, size: Size) -> Size:
        height, width = smart_resize(
            num_frames=self.frames,
            height=size.height,
            width=size.width,
            temporal_factor=self.frames,
            factor=self.factor,
            min_pixels=self.frames * self.min_pixels,
            max_pixels=self.frames * self.max_pixels,
        )
        return Size(width, height)


@dataclass(frozen=True)
class GLM41V(Qwen25VL):
    """GLM-4.1V."""

    name: str = "GLM-4.1V"
    model_types: tuple[str, ...] = ("glm4v",)
    chat: ChatLayout = CHAT
    frame: TextFrame = TextFrame.PERMILLE
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj",
    )  # fmt: skip

    def sizing(self, processor: Any) -> PatchSizing:
        of_frames = super().sizing(processor)
        frames = int(processor.temporal_patch_size)
        return GLMSizing(
            of_frames.patch_size,
            of_frames.merge_size,
            -(-of_frames.min_pixels // frames),
            of_frames.max_pixels // frames,
            frames,
        )

    def is_merger(self, name: str) -> bool:
        return name.startswith(("post_layernorm.", "downsample.", "merger."))

    def is_sliding(self, model: Any) -> bool:
        return False

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        return Glm4vConfig(**self._tiny_parts(settings, ids, vocab_size))

    def tiny_processor(self, settings: TinySettings) -> Any:
        return Glm4vImageProcessorPil(**self._tiny_sizes(settings))

    def _tower_inner_width(self, vision: Any) -> int:
        return vision.out_hidden_size  # `intermediate_size` is the merger's

    def _tiny_sizes(self, settings: TinySettings) -> dict[str, Any]:
        factor = self.patch_size * MERGE_SIZE
        sizing = GLMSizing(
            self.patch_size,
            MERGE_SIZE,
            settings.min_pixels or (2 * factor) ** 2,
            settings.max_pixels or (4 * factor) ** 2,
        )
        return sizing.processor_settings() | {
            "patch_size": self.patch_size,
            "merge_size": MERGE_SIZE,
            "temporal_patch_size": sizing.frames,
        }

    def _tiny_parts(
        self, settings: TinySettings, ids: dict[str, int], vocab_size: int
    ) -> dict[str, Any]:
        heads = settings.hidden // HEAD_DIM
        text = {
            "vocab_size": vocab_size,
            "hidden_size": settings.hidden,
            "intermediate_size": settings.ffn,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 1 if heads % 2 else 2,
            "max_position_embeddings": settings.max_positions,
            "pad_token_id": ids[CHAT.pad],
            "eos_token_id": [ids[token] for token in CHAT.ends],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [2, 3, 3],  # pairs of the half of a head that turns
            },
        }
        tower = self._tiny_tower(settings) | {
            "hidden_size": settings.vision_hidden,
            "intermediate_size": 2 * settings.vision_hidden,
            "out_hidden_size": settings.hidden,
            "image_size": 8 * self.patch_size,  # a place per patch of a whole picture
        }
        return {
            "text_config": text,
            "vision_config": tower,
            "image_token_id": ids[CHAT.picture],
            "video_token_id": ids["<|video|>"],
            "image_start_token_id": ids[CHAT.before_picture],
            "image_end_token_id": ids[CHAT.after_picture],
            "video_start_token_id": ids["<|begin_of_video|>"],
            "video_end_token_id": ids["<|end_of_video|>"],
        }


@dataclass(frozen=True)
class GLM46V(GLM41V):
    """GLM-4.6V, dense: its parts are GLM-4.1V's."""

    name: str = "GLM-4.6V"
    model_types: tuple[str, ...] = ("glm46v",)
    engines: tuple[str, ...] = ("hf", "server", "scripted")

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        return Glm46VConfig(**self._tiny_parts(settings, ids, vocab_size))

    def tiny_processor(self, settings: TinySettings) -> Any:
        return Glm46VImageProcessorPil(**self._tiny_sizes(settings))


FAMILIES: tuple[Family, ...] = (GLM41V(), GLM46V())
