"""The sequences of a micro-batch in one row, without padding. Two of them, of 4 and 2 tokens:

    input_ids   [[5 9 9 6], [5 7 0 0]]    ->   [[5 9 9 6 5 7]]
    attention   each token sees those before it in its own sequence

Each keeps the positions that it has alone. Attention is computed a sequence at a time: by
FlashAttention's own kernel for lengths that differ, elsewhere by PyTorch's, called for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from vigorl.core.errors import ConfigError
from vigorl.families.family import Family

_SDPA = "vigorl_packed_sdpa"


def attend(
    module: nn.Module,
    query: Float[Tensor, "rows heads tokens dim"],
    key: Float[Tensor, "rows kv_heads tokens dim"],
    value: Float[Tensor, "rows kv_heads tokens dim"],
    attention_mask: None,
    *,
    lengths: Sequence[int],
    **given: Any,
) -> tuple[Float[Tensor, "rows tokens heads dim"], None]:
    """PyTorch's attention, as transformers' models call it, within each of the sequences of a row,
    of which it is told the `lengths`.
    """
    queries, keys, values = (x.split(list(lengths), dim=2) for x in (query, key, value))
    seen = [
        sdpa_attention_forward(module, q, k, v, attention_mask, **given)[0]
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(seen, dim=1), None


# Without a mask of that name: models with plain positions would make one of [row, row] numbers.
AttentionInterface.register(_SDPA, attend)


def prepare(model: PreTrainedModel, family: Family) -> None:
    """Have a model's language part take packed rows, and no others.

    Raises:
        ConfigError: It cannot, or its attention cannot.
    """
    if family.linear_attention(model.config).layers or family.is_sliding(model):
        raise ConfigError(
            f"model.packing: the layers of {family.name} cannot be told where a sequence begins; "
            "set model.packing=false"
        )
    text: Any = model.config.get_text_config()
    kind = text._attn_implementation
    if kind == "sdpa":
        text._attn_implementation = _SDPA
    elif not kind.startswith("flash_attention"):
        raise ConfigError(
            f"model.packing: attn_implementation={kind} cannot; take sdpa or flash_attention_2"
        )


@dataclass(frozen=True, slots=True)
class Packing:
    """Which entries of a padded batch are tokens, and how many of each row."""

    is_token: Bool[Tensor, "batch tokens"]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, attention_mask: Int[Tensor, "batch tokens"]) -> Packing:
        is_token = attention_mask.bool()
        lengths = (int(length) for length in is_token.sum(-1).tolist())
        return cls(is_token, tuple(length for length in lengths if length))

    def row(self, values: Shaped[Tensor, "batch tokens"]) -> Shaped[Tensor, "1 packed"]:
        """All tokens, sequence after sequence."""
        return values[self.is_token][None]

    def batch(
        self, states: Float[Tensor, "1 packed hidden"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Back to where they were; padding is 0."""
        spread = states.new_zeros(*self.is_token.shape, states.shape[-1])
        return spread.masked_scatter(self.is_token[..., None], states)

    def told(self, model: PreTrainedModel) -> dict[str, Any]:
        """What attention is told of the sequences, as its kind takes it."""
        text: Any = model.config.get_text_config()
        if text._attn_implementation == _SDPA:
            return {"lengths": self.lengths}
        counts = torch.tensor((0, *self.lengths), device=self.is_token.device)
        ends, longest = counts.cumsum(0).int(), max(self.lengths)
        return {
            "cu_seq_lens_q": ends, "cu_seq_lens_k": ends,
            "max_length_q": longest, "max_length_k": longest,
        }  # fmt: skip
