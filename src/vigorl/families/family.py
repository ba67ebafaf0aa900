"""What a model family answers. A new one is one file in this room with a `FAMILIES` tuple.

    chat, frame                 how a dialog and a place in a picture are written
    sizing                      at which sizes pictures are shown, in how many tokens
    encode, merge, positions    what the tower sees, how the language model gets it, and where
    tower, is_merger, lora_*    which weights are frozen, which get adapters
    engines                     what can sample from it
    tiny_*                      a small model of the same shape

Left out, as nothing asks for it yet: native tool calls, thinking tags, video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from vigorl.core.media import TextFrame
from vigorl.families.sizing import Sizing


@dataclass(frozen=True, slots=True)
class ChatLayout:
    """Control tokens of a chat: `start` ROLE newline text `end` newline, one message after another;
    or, with `roles`, the role's token, newline, text, and the next role's token ends it.

    Attributes:
        start: Opens every message; "" with `roles`.
        end: What a policy samples to end a turn. It ends every message; with `roles` it is the
            token of "user".
        before_picture, picture, after_picture: What stands for a picture in a text; `picture` is
            the placeholder.
        pad: Fills batches of a tokenizer made here.
        controls: All control tokens of a tokenizer made here, in the order of their ids.
        tail: Text that stands behind every picture.
        is_framed_by_processor: Hugging Face's processor of the family makes of a placeholder alone
            what stands around it too, so templates and vLLM's prompts must hold none of that.
        names: What that processor calls tokens of a tokenizer made here, with the tokens.
        opening: Before the first message.
        roles: Each role with its token; that of "tool" ends a turn that calls one.
        stops: More that ends a policy's turn, though none is taught to end so.
        spoken: What a policy writes in its turns, which some tokenizers of the family have as
            control tokens: there none is banned, and each is read as the text that it looks like.
        unspoken: The same, but no part of what a turn says.
    """

    start: str
    end: str
    before_picture: str
    picture: str
    after_picture: str
    pad: str
    controls: tuple[str, ...]
    tail: str = ""
    is_framed_by_processor: bool = False
    names: tuple[tuple[str, str], ...] = ()

    opening: tuple[str, ...] = ()
    roles: tuple[tuple[str, str], ...] = ()
    stops: tuple[str, ...] = ()
    spoken: tuple[str, ...] = ()
    unspoken: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """What a tokenizer must have for the layout to be written."""
        starts = tuple(token for _, token in self.roles) or (self.start,)
        picture = (self.before_picture, self.picture, self.after_picture)
        return (*self.opening, *starts, self.end, *self.stops, *picture)

    @property
    def ends(self) -> tuple[str, ...]:
        """All that may end a policy's turn, `end` first."""
        after_call = (token for role, token in self.roles if role == "tool")
        return (self.end, *after_call, *self.stops)

    def template(self, *, system: str = "") -> str:
        """The layout as a Hugging Face chat template, for whoever talks to a model without us; a
        chat without a system message begins with `system`, where that is not empty.
        """
        framed = self.before_picture + self.picture + self.after_picture
        picture = (self.picture if self.is_framed_by_processor else framed) + self.tail
        tokens = dict(self.roles)
        role, end = f"{self.start}{{{{ message.role }}}}", f"{self.end}\n"
        if tokens:
            role, end = f"{{{{ {tokens}[message.role] }}}}", ""
        default = f"{tokens.get('system', self.start + 'system')}\n{_quoted(system)}{end}"
        default = "{% if messages[0].role != 'system' %}" + default + "{% endif %}"
        return (
            f"{''.join(self.opening)}{default if system else ''}"
            "{% for message in messages %}"
            f"{role}\n"
            "{% if message.content is string %}{{ message.content }}{% else %}"
            "{% for part in message.content %}"
            f"{{% if part.type in ('image', 'image_url') %}}{picture}"
            "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
            f"{end}{{% endfor %}}{{% if add_generation_prompt %}}"
            f"{tokens.get('assistant', self.start + 'assistant')}\n{{% endif %}}"
        )


def _quoted(text: str) -> str:
    """An expression of Jinja that gives a text as it is, whatever it reads."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{{ "{escaped}" }}}}'


@dataclass(frozen=True, slots=True)
class TowerShape:
    """Sizes of a vision tower, for what it takes of memory and time.

    Attributes:
        hidden: Width.
        intermediate: Inner width of its MLPs.
        depth: Layers.
        patch_size: Side of a patch, pixels.
        patch_dim: Numbers per patch.
        merge_size: Patches per token and side.
        thumbnail_pixels: Area of what is shown beside a picture that is cut into pieces; 0 where
            none is.
        window: Patches per side of the windows that some layers attend within; 0 where all see a
            whole picture.
        window_depth: How many layers do.
    """

    hidden: int
    intermediate: int
    depth: int
    patch_size: int
    patch_dim: int
    merge_size: int
    thumbnail_pixels: int = 0
    window: int = 0
    window_depth: int = 0


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Layers of a language model that keep a state of all that they read instead of keys and values
    by token: of a state no shorter beginning can be taken.

    Attributes:
        layers: Which; none by default.
        state: Numbers that such a layer keeps per sequence.
        width: Of its values.
    """

    layers: tuple[int, ...] = ()
    state: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class TinySettings:
    """Sizes of a tiny model.

    Attributes:
        model_type: Its family's, as in config.json.
        vocab_size: BPE vocabulary at most, control tokens included.
        hidden: Width of the language part; heads are 32 wide (what vLLM's CPU attention takes).
        layers: Depth of the language part.
        ffn: Inner width of its MLP.
        vision_hidden: Width of the vision tower; heads are 32 wide.
        vision_depth: Depth of the tower; every layer sees the whole picture.
        max_pixels: A whole picture is shown with at most this many pixels; None takes 4 x 4 tokens.
        min_pixels: And with at least this many; None takes 2 x 2 tokens.
        max_positions: Longest sequence.
    """

    model_type: str = "qwen2_5_vl"
    vocab_size: int = 1024
    hidden: int = 192
    layers: int = 4
    ffn: int = 256
    vision_hidden: int = 128
    vision_depth: int = 3
    max_pixels: int | None = None
    min_pixels: int | None = None
    max_positions: int = 4096


@runtime_checkable
class Family(Protocol):
    """One model family; methods take transformers' own models, configs and image processors."""

    @property
    def name(self) -> str: ...

    @property
    def model_types(self) -> tuple[str, ...]:
        """`model_type` in config.json."""
        ...

    @property
    def engines(self) -> tuple[str, ...]:
        """Modules of `rollout.engines` that can run it."""
        ...

    @property
    def chat(self) -> ChatLayout: ...

    @property
    def frame(self) -> TextFrame:
        """How its texts write places in a picture."""
        ...

    @property
    def lora_layers(self) -> str:
        """Where the language model's layers stand among the modules: a regular expression."""
        ...

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """The linear layers of such a layer."""
        ...

    def sizing(self, processor: Any) -> Sizing:
        """Of an image processor.

        Raises:
            ConfigError: It is not one of this family's.
        """
        ...

    def pixels(
        self, processor: Any, picture: UInt8[np.ndarray, "height width 3"]
    ) -> Float[Tensor, "pieces ..."]:
        """A picture of a size from `fit` as `encode` takes it: one row per patch, or per tile."""
        ...

    def tower(self, model: PreTrainedModel) -> nn.Module:
        """Tower and merger, as one module."""
        ...

    def is_merger(self, name: str) -> bool:
        """Whether a weight of `tower`, by its name in there, belongs to the merger."""
        ...

    def tower_shape(self, config: PreTrainedConfig) -> TowerShape: ...

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        """Embeddings, layers and norm, without the head."""
        ...

    def head_dim(self, config: PreTrainedConfig) -> int:
        """Width of one head's keys and values."""
        ...

    def linear_attention(self, config: PreTrainedConfig) -> LinearAttention: ...

    def is_sliding(self, model: PreTrainedModel) -> bool:
        """Whether a layer sees only a window of the text."""
        ...

    def feature_width(self, config: PreTrainedConfig) -> int:
        """Numbers per picture token that `encode` gives."""
        ...

    def blank(self, config: PreTrainedConfig) -> tuple[Tensor, Tensor]:
        """Pixels and grid of the smallest picture."""
        ...

    def num_tokens(
        self, grid_thw: Int[Tensor, "images 3"], config: PreTrainedConfig
    ) -> Int[Tensor, " images"]:
        """Placeholders per picture."""
        ...

    def num_pieces(self, grid_thw: Int[Tensor, "images 3"]) -> Int[Tensor, " images"]:
        """Rows of `pixels` per picture."""
        ...

    def encode(
        self,
        model: PreTrainedModel,
        pixel_values: Float[Tensor, "pieces ..."],
        grid_thw: Int[Tensor, "images 3"],
    ) -> list[Float[Tensor, "_ width"]]:
        """Features of pictures, [tokens, feature_width] each."""
        ...

    def positions(
        self,
        model: PreTrainedModel,
        input_ids: Int[Tensor, "batch tokens"],
        grid_thw: Int[Tensor, "images 3"],
        attention_mask: Int[Tensor, "batch tokens"] | None = None,
    ) -> Int[Tensor, "3 batch tokens"]:
        """Where every token stands: time, row, column; all alike where a family knows no rows."""
        ...

    def position_ids(self, positions: Int[Tensor, "3 rows tokens"]) -> Tensor:
        """The same as `language_model` takes them."""
        ...

    def read(
        self,
        model: PreTrainedModel,
        *,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"] | None,
        grid_thw: Int[Tensor, "images 3"],
        features: Float[Tensor, "image_tokens width"],
        positions: Int[Tensor, "3 batch tokens"] | None = None,
        **attention: Any,
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Last hidden states of whole sequences, after the final norm; rows of several sequences
        (`models.packing`) bring their positions, and what `attention` is told of them.
        """
        ...

    def merge(
        self,
        embeds: Float[Tensor, "rows tokens hidden"],
        is_image: Bool[Tensor, "rows tokens"],
        features: Float[Tensor, "image_tokens width"],
    ) -> tuple[Float[Tensor, "rows tokens hidden"], dict[str, Any]]:
        """Embeddings with the pictures in them, and what else `language_model` takes of pictures.

        Args:
            embeds: Of the text; may be changed in place.
            is_image: Where the placeholders are.
            features: Of all pictures, in the order of their placeholders.
        """
        ...

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        """transformers' config of a tiny model; `ids` are those of `chat.controls`."""
        ...

    def tiny_processor(self, settings: TinySettings) -> Any:
        """Its image processor."""
        ...

    def tiny_files(self, settings: TinySettings) -> dict[str, Any]:
        """What else its folder holds: JSON by file name."""
        ...
