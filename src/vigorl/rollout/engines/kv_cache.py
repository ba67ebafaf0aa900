"""Keys and values of a batch in one tensor, and what is kept of finished turns for the next one.

transformers' DynamicCache copies the whole cache at every step (one `cat` per layer); this one
writes one slot. Rows may have holes: which slots of a row count is said by `bias`, where they stand
by the position ids.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

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

    def extract(self, row: int) -> PrefixKV:
        """A copy of what one row holds, without its holes."""
        (slots,) = torch.where(self.bias[row, : self.length] == 0)
        return self.kv[:, :, row].index_select(3, slots)


class PrefixCache:
    """Finished turns by ids and pictures, so that the next turn reads only what came after.

    Args:
        max_tokens: Slots kept, least recently used go first; 0 keeps nothing.
        image_id: The picture placeholder.
    """

    def __init__(self, *, max_tokens: int, image_id: int) -> None:
        self._max_tokens, self._image_id = max_tokens, image_id
        self._entries: OrderedDict[PrefixKey, PrefixKV] = OrderedDict()
        self._lengths: dict[int, int] = {}  # key length -> how many entries have it
        self._num_tokens = 0

    @property
    def is_enabled(self) -> bool:
        return self._max_tokens > 0

    def put(self, ids: tuple[int, ...], views: tuple[ImageView, ...], kv: PrefixKV) -> None:
        if (ids, views) in self._entries or kv.shape[3] > self._max_tokens:
            return
        self._entries[(ids, views)] = kv
        self._lengths[len(ids)] = self._lengths.get(len(ids), 0) + 1
        self._num_tokens += kv.shape[3]
        while self._num_tokens > self._max_tokens:
            (old_ids, _), old = self._entries.popitem(last=False)
            self._num_tokens -= old.shape[3]
            self._lengths[len(old_ids)] -= 1
            if not self._lengths[len(old_ids)]:
                del self._lengths[len(old_ids)]

    def longest(
        self, ids: tuple[int, ...], views: tuple[ImageView, ...]
    ) -> tuple[PrefixKV, int] | None:
        """The longest entry that is a proper prefix of `ids`, and how many pictures it holds."""
        for length in sorted(self._lengths, reverse=True):
            if length >= len(ids):
                continue
            head = ids[:length]
            num_views = head.count(self._image_id)
            key = (head, views[:num_views])
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key], num_views
        return None

    def clear(self) -> None:
        self._entries.clear()
        self._lengths.clear()
        self._num_tokens = 0
