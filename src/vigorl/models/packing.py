"""The sequences of a micro-batch in one row, without padding. Two of them, of 4 and 2 tokens:

    input_ids   [[5 9 9 6], [5 7 0 0]]    ->   [[5 9 9 6 5 7]]
    attention   each token sees those before it in its own sequence

Each keeps the positions that it has alone. Attention is computed a sequence at a time: by
FlashAttention's own kernel for lengths that differ, elsewhere by PyTorch's, called for each. So are
a linear layer's convolution and delta rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.flash_attention import get_target_dtype
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_flash_attention_utils import _flash_attention_forward

from vigorl.core.errors import ConfigError
from vigorl.families.family import Family

_SDPA = "vigorl_packed_sdpa"
_LENGTHS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
SPLIT = "vigorl_split_"  # before the name of what `models.context_parallel` stands around


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


def attend_varlen(
    module: nn.Module,
    query: Float[Tensor, "1 heads tokens dim"],
    key: Float[Tensor, "1 kv_heads seen dim"],
    value: Float[Tensor, "1 kv_heads seen dim"],
    attention_mask: None,
    *,
    kind: str,
    dropout: float = 0.0,
    scaling: float | None = None,
    **given: Any,
) -> tuple[Float[Tensor, "1 tokens heads dim"], None]:
    """FlashAttention's kernel for lengths that differ, whatever attention is called in the config,
    by which transformers' own function looks for it.

    Args:
        kind: Of FlashAttention, as transformers names it.
        given: The lengths of queries and keys among it (`cu_seq_lens_q` and so on).
    """
    made = _flash_attention_forward(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        None,
        query_length=query.shape[2],
        is_causal=True,
        dropout=dropout,
        softmax_scale=scaling,
        target_dtype=get_target_dtype(query, module),
        attn_implementation=kind,
        **{name: given[name] for name in _LENGTHS},
    )
    return made, None


# Without a mask of that name: models with plain positions would make one of [row, row] numbers.
AttentionInterface.register(_SDPA, attend)


def _convolved(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """transformers' convolution, [rows, channels, tokens], within each sequence of a row."""

    @wraps(convolve)
    def called(
        states: Tensor, *given: Any, lengths: Sequence[int] | None = None, **named: Any
    ) -> Tensor:
        parts = [states] if lengths is None else states.split(list(lengths), dim=2)
        return torch.cat([convolve(part, *given, **named) for part in parts], dim=2)

    return called


def _chunked(rule: Callable[..., tuple[Tensor, Any]]) -> Callable[..., tuple[Tensor, Any]]:
    """transformers' gated delta rule, [rows, tokens, heads, ...], within each sequence of a row."""

    @wraps(rule)
    def called(
        *states: Tensor,
        g: Tensor,
        beta: Tensor,
        lengths: Sequence[int] | None = None,
        **named: Any,
    ) -> tuple[Tensor, Any]:
        if lengths is None:
            return rule(*states, g=g, beta=beta, **named)
        parts = zip(*(one.split(list(lengths), dim=1) for one in (*states, g, beta)), strict=True)
        found = [rule(*part, g=decay, beta=rate, **named)[0] for *part, decay, rate in parts]
        return torch.cat(found, dim=1), None

    return called


_OF_LINEAR_LAYERS = {"causal_conv1d_fn": _convolved, "torch_chunk_gated_delta_rule": _chunked}


def _split_linear_layers(layer: nn.Module) -> None:
    """Have what mixes tokens in layers of this kind read sequence by sequence where it is told
    their lengths. Not the layer as a whole: ranks with other numbers of sequences would call its
    projections, whose weights ZeRO-3 gathers, another number of times.
    """
    # they get the lengths as attention does, but their code in torch takes no notice of them
    module = sys.modules[type(layer).__module__]
    for name, by_sequence in _OF_LINEAR_LAYERS.items():
        function = getattr(module, name)
        if not hasattr(function, "is_by_sequence"):
            made: Any = by_sequence(function)
            made.is_by_sequence = True
            setattr(module, name, made)


def prepare(model: PreTrainedModel, family: Family) -> None:
    """Have a model's language part take packed rows, and no others.

    Raises:
        ConfigError: It cannot, or its attention cannot.
    """
    if family.is_sliding(model):
        raise ConfigError(
            f"model.packing: the layers of {family.name} cannot be told where a sequence begins; "
            "set model.packing=false"
        )
    text: Any = model.config.get_text_config()
    kind = text._attn_implementation
    if linear := family.linear_attention(model.config).layers:
        if kind != "sdpa":
            raise ConfigError(
                f"model.packing: attn_implementation={kind} cannot with the linear layers of "
                f"{family.name}; take sdpa"
            )
        stack = family.language_model(model).get_submodule("layers")
        _split_linear_layers(stack.get_submodule(f"{linear[0]}.linear_attn"))
    if kind == "sdpa":
        text._attn_implementation = _SDPA
    elif not kind.startswith("flash_attention"):
        raise ConfigError(
            f"model.packing: attn_implementation={kind} cannot; take sdpa or flash_attention_2"
        )


def attention_kind(model: PreTrainedModel) -> str:
    """What attention in the language part is computed with, on however many processes."""
    text: Any = model.config.get_text_config()
    return text._attn_implementation.removeprefix(SPLIT)


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

    def at(
        self,
        states: Float[Tensor, "1 packed hidden"],
        rows: Int[Tensor, " n"],
        columns: Int[Tensor, " n"],
    ) -> Float[Tensor, "n hidden"]:
        """Those of tokens that stand there in the batch."""
        places = self.is_token.flatten().cumsum(0).view_as(self.is_token) - 1
        return states[0, places[rows, columns]]

    def batch(
        self, states: Float[Tensor, "1 packed hidden"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Back to where they were; padding is 0."""
        spread = states.new_zeros(*self.is_token.shape, states.shape[-1])
        return spread.masked_scatter(self.is_token[..., None], states)

    def told(self, model: PreTrainedModel) -> dict[str, Any]:
        """What attention is told of the sequences, as its kind takes it."""
        if attention_kind(model) == _SDPA:
            return {"lengths": self.lengths}
        counts = torch.tensor((0, *self.lengths), device=self.is_token.device)
        ends, longest = counts.cumsum(0).int(), max(self.lengths)
        return {
            "cu_seq_lens_q": ends, "cu_seq_lens_k": ends,
            "max_length_q": longest, "max_length_k": longest,
        }  # fmt: skip
