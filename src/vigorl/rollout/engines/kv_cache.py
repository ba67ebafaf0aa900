"""Keys and values of a batch in one tensor, and what is kept of finished turns for the next one.

transformers' DynamicCache copies the whole cache at every step (one `cat` per layer); this one
writes one slot. Rows may have holes: which slots of a row count is said by `bias`, where they stand
by the position ids.

A model some of whose layers keep states instead has a `BatchStates`: its rows begin at nothing,
since padding between a state and what comes after it would go into the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from cachetools import LRUCache
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import LinearAttentionLayer

from vigorl.core.media import ImageView

GROWTH_SLOTS = 64

PrefixKey = tuple[tuple[int, ...], tuple[ImageView, ...]]
PrefixKV = Float[Tensor, "layers 2 heads slots dim"]


class BatchKV:
    """The `past_key_values` of the language model; only `update` is called by transformers.

    Attributes:
        kv: [layers, 2, rows, heads, capacity, dim].
        bias: [rows, capacity] 0 where a slot may be attended to, -inf where it may not.
        length: Slots written so far, the same for all rows.
    """

    def __init__(
        self,
        kv: Float[Tensor, "layers 2 rows heads capacity dim"],
        bias: Float[Tensor, "rows capacity"],
        *,
        length: int,
    ) -> None:
        self.kv, self.bias, self.length = kv, bias, length

    @classmethod
    def empty(
        cls,
        shape: tuple[int, int, int, int, int, int],
        *,
        length: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> BatchKV:
        """Zeros in the shape of `kv`, of whose slots `start` fills `length`."""
        kv = torch.zeros(shape, dtype=dtype, device=device)
        return cls(kv, kv.new_zeros(shape[2], shape[4]), length=length)

    def start(self, row: int, known: PrefixKV | None, *, num_pads: int) -> None:
        """What a row holds before the first pass: its known part at the end of the slots written
        so far, holes before it, and holes where the first tokens of the pass are padding.
        """
        num_holes = self.length - (0 if known is None else known.shape[3])
        self.bias[row, :num_holes] = -torch.inf
        self.bias[row, self.length : self.length + num_pads] = -torch.inf
        if known is not None:
            self.kv[:, :, row, :, num_holes : self.length] = known

    def causal_bias(self, num_read: int) -> Float[Tensor, "rows 1 read slots"]:
        """For the next pass: each token sees what is written and what is read up to itself, holes
        apart.

        A padding token sees itself, or its softmax would be over nothing, and the NaN would spread
        through masked slots.
        """
        future = torch.ones(num_read, num_read, dtype=torch.bool, device=self.bias.device).triu(1)
        mask = self.bias[:, None, None, : self.length + num_read].repeat(1, 1, num_read, 1)
        read = mask[..., self.length :]
        read.masked_fill_(future, -torch.inf)
        read.diagonal(dim1=-2, dim2=-1).zero_()
        return mask

    def reading_mask(self, num_read: int) -> Any:
        """For a pass over prompts, as the language model takes it: one of four dimensions goes to
        the layers as it is.
        """
        return self.causal_bias(num_read)

    def step_mask(self) -> Any:
        """For a pass over one new token per row."""
        return self.bias[:, None, None, : self.length + 1]

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        end = self.length + keys.shape[2]
        layer = self.kv[layer_idx]
        layer[0, :, :, self.length : end] = keys
        layer[1, :, :, self.length : end] = values
        return layer[0, :, :, :end], layer[1, :, :, :end]

    def advance(self, num_slots: int) -> None:
        """After a forward pass: the slots it wrote are now taken. Makes room for the next step."""
        self.length += num_slots
        if self.length == self.kv.shape[4]:
            layers, two, rows, heads, _, dim = self.kv.shape
            more = self.kv.new_zeros(layers, two, rows, heads, GROWTH_SLOTS, dim)
            self.kv = torch.cat([self.kv, more], dim=4)
            self.bias = torch.cat([self.bias, self.bias.new_zeros(rows, GROWTH_SLOTS)], dim=1)

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows only, in this order; a row may be repeated."""
        self.kv, self.bias = self.kv.index_select(2, rows), self.bias[rows]

    def join(self, other: BatchKV) -> None:
        """The rows of another behind its own; what each holds moves to the end of the slots, so
        that holes that all rows share are gone.
        """
        held = [one.bias[:, : one.length] == 0 for one in (self, other)]
        self.length = max(int(one.sum(1).max()) for one in held)
        layers, two, _, heads, _, dim = self.kv.shape
        num_rows = [len(one) for one in held]
        capacity = self.length + GROWTH_SLOTS
        kv = self.kv.new_zeros(layers, two, sum(num_rows), heads, capacity, dim)
        bias = self.bias.new_zeros(sum(num_rows), capacity)
        first = 0
        for cache, is_held in zip((self.kv, other.kv), held, strict=True):
            slots = is_held.int().argsort(dim=1, stable=True)[:, -self.length :]  # holes first
            start, last = self.length - slots.shape[1], first + len(slots)
            index = slots[None, None, :, None, :, None].expand(layers, two, -1, heads, -1, dim)
            kv[:, :, first:last, :, start : self.length] = cache.gather(4, index)
            num_holes = self.length - is_held.sum(1, keepdim=True)
            is_hole = torch.arange(capacity, device=bias.device) < num_holes
            bias[first:last].masked_fill_(is_hole, -torch.inf)
            first = last
        self.kv, self.bias = kv, bias

    def extract(self, row: int) -> PrefixKV:
        """A copy of what one row holds, without its holes."""
        (slots,) = torch.where(self.bias[row, : self.length] == 0)
        return self.kv[:, :, row].index_select(3, slots)


class BatchStates(BatchKV):
    """The same for a model some of whose layers are linear attention: transformers' own layers hold
    their states, by the names that its models ask for.

    Attributes:
        layers: Of the whole model; None where a layer has keys and values, which `kv` holds in
            their order.
    """

    layers: list[LinearAttentionLayer | None]

    @classmethod
    def of(cls, cache: BatchKV, *, state_layers: Sequence[int]) -> BatchStates:
        """Around an empty cache of the layers with keys and values, whatever their number."""
        made = cls(cache.kv, cache.bias, length=cache.length)
        num_layers = len(cache.kv) + len(state_layers)
        made.layers = [
            LinearAttentionLayer() if i in state_layers else None for i in range(num_layers)
        ]
        return made

    def start(self, row: int, known: PrefixKV | None, *, num_pads: int) -> None:
        assert known is None, "a row begins at nothing"
        super().start(row, known, num_pads=num_pads)

    def reading_mask(self, num_read: int) -> dict[str, Any]:
        is_read = self.bias[:, self.length : self.length + num_read] == 0
        return {"full_attention": self.causal_bias(num_read), "linear_attention": is_read}

    def step_mask(self) -> dict[str, Any]:
        return {"full_attention": super().step_mask(), "linear_attention": None}

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        return super().update(keys, values, self.layers[:layer_idx].count(None))

    def has_previous_state(self, layer_idx: int, state_idx: int = 0) -> bool:
        return self._state(layer_idx).has_previous_state[state_idx]

    def update_conv_state(self, states: Tensor, layer_idx: int, **settings: Any) -> Tensor:
        return self._state(layer_idx).update_conv_state(states, **settings)

    def update_recurrent_state(self, states: Tensor, layer_idx: int, **settings: Any) -> Tensor:
        return self._state(layer_idx).update_recurrent_state(states, **settings)

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        super().select(rows)
        for layer in self.layers:
            if layer is not None:
                layer.reorder_cache(rows)  # pyright: ignore[reportArgumentType]  an old class

    def join(self, other: BatchKV) -> None:
        assert isinstance(other, BatchStates)
        super().join(other)
        for layer, more in zip(self.layers, other.layers, strict=True):
            if layer is not None and more is not None:
                for own, new in (
                    (layer.conv_states, more.conv_states),
                    (layer.recurrent_states, more.recurrent_states),
                ):
                    for index, states in new.items():
                        before = own[index]
                        if before is not None and states is not None:
                            own[index] = torch.cat([before, states])

    def _state(self, layer_idx: int) -> LinearAttentionLayer:
        layer = self.layers[layer_idx]
        assert layer is not None, f"layer {layer_idx} has keys and values"
        return layer


class PrefixCache:
    """Finished turns by ids and pictures, so that the next turn reads only what came after.

    Args:
        max_tokens: Slots kept, least recently used go first; 0 keeps nothing.
        image_id: The picture placeholder.
    """

    def __init__(self, *, max_tokens: int, image_id: int) -> None:
        self._image_id = image_id
        self._entries: LRUCache[PrefixKey, PrefixKV] = LRUCache(
            max_tokens, getsizeof=lambda kv: kv.shape[3]
        )

    @property
    def is_enabled(self) -> bool:
        return self._entries.maxsize > 0

    def put(self, ids: tuple[int, ...], views: tuple[ImageView, ...], kv: PrefixKV) -> None:
        if (ids, views) not in self._entries and kv.shape[3] <= self._entries.maxsize:
            self._entries[(ids, views)] = kv

    def longest(
        self, ids: tuple[int, ...], views: tuple[ImageView, ...]
    ) -> tuple[PrefixKV, int] | None:
        """The longest entry that is a proper prefix of `ids`, and how many pictures it holds."""
        lengths = {len(head) for head, _ in self._entries}
        for length in sorted(lengths, reverse=True):
            if length >= len(ids):
                continue
            head = ids[:length]
            num_views = head.count(self._image_id)
            found = self._entries.get((head, views[:num_views]))
            if found is not None:
                return found, num_views
        return None

    def clear(self) -> None:
        self._entries.clear()
