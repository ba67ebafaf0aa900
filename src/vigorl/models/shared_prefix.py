"""The sequences of a micro-batch in one row, where what several begin with stands once. Three of
them, the first two of one prompt:

    input_ids   [[5 9 9 6 7], [5 9 9 8 0], [4 3 0 0 0]]    ->   [[5 9 9 6 7 8 4 3]]
    the 8 sees  5 9 9, which it continues, and itself

A sequence continues the earlier one with which it shares the longest beginning, so answers to one
prompt read it once, and so do forks of one answer. Each token keeps the position that it has alone.
The head gets the hidden state before each token that it scores, the same one for several where
they turn from each other: whoever weighs or masks tokens sees [batch, tokens] as ever, and the
backward pass sums over the sequences, which is the exact gradient.

A picture is the same where its view is (`core.media`). Dropout, where there is any, falls once on
what is shared, and not on each sequence by itself.

Left out: layers that keep a state instead of keys and values, which could be continued only from
where it was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_flash_attention_utils import flash_attn_supports_top_left_mask

from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.families.family import Family
from vigorl.models import packing
from vigorl.models.packing import attention_kind

LEAST_SHARED = 16  # tokens; fewer, such as a chat's opening, are not worth an attention mask
_NAME = "vigorl_shared_"
Span = tuple[int, int]  # of a row: from, to


@dataclass(frozen=True, slots=True)
class Reach:
    """Who sees what in a row, which is cut into pieces for it.

    Attributes:
        own: Tokens that each sequence has to itself, in order; the row is these one by one.
        pieces: Lengths; a piece is seen by a sequence as a whole or not at all.
        seen: Per sequence the pieces that it consists of, in order; its own are the last, and each
            token of these sees what stands before it.
    """

    own: tuple[int, ...]
    pieces: tuple[int, ...]
    seen: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[Span]], own: Sequence[int]) -> Reach:
        """Of the spans that each sequence consists of; those with nothing of their own ask for
        nothing.
        """
        cuts = sorted({cut for spans in sequences for span in spans for cut in span})
        number = {cut: i for i, cut in enumerate(cuts)}
        return cls(
            own=tuple(num for num in own if num),
            pieces=tuple(b - a for a, b in pairwise(cuts)),
            seen=tuple(
                tuple(i for a, b in spans for i in range(number[a], number[b]))
                for spans, num in zip(sequences, own, strict=True)
                if num
            ),
        )

    @property
    def num_seen(self) -> tuple[int, ...]:
        """Tokens that each sequence consists of."""
        return tuple(sum(self.pieces[i] for i in seen) for seen in self.seen)

    def gather(
        self, values: Float[Tensor, "1 heads row dim"]
    ) -> list[Float[Tensor, "1 heads _ dim"]]:
        """Keys or values of what each sequence sees."""
        pieces = values.split(list(self.pieces), dim=2)
        return [torch.cat([pieces[i] for i in seen], dim=2) for seen in self.seen]


def attend(
    module: nn.Module,
    query: Float[Tensor, "1 heads row dim"],
    key: Float[Tensor, "1 kv_heads row dim"],
    value: Float[Tensor, "1 kv_heads row dim"],
    attention_mask: None,
    *,
    reach: Reach,
    masks: Sequence[Bool[Tensor, "_ _"] | None],
    **given: Any,
) -> tuple[Float[Tensor, "1 row heads dim"], None]:
    """PyTorch's attention, as transformers' models call it, for each sequence over what it sees."""
    made = [
        sdpa_attention_forward(module, q, k, v, mask, **given)[0]
        for q, k, v, mask in zip(
            query.split(list(reach.own), dim=2),
            reach.gather(key),
            reach.gather(value),
            masks,
            strict=True,
        )
    ]
    return torch.cat(made, dim=1), None


def attend_varlen(
    module: nn.Module,
    query: Float[Tensor, "1 heads row dim"],
    key: Float[Tensor, "1 kv_heads row dim"],
    value: Float[Tensor, "1 kv_heads row dim"],
    attention_mask: None,
    *,
    reach: Reach,
    **given: Any,
) -> tuple[Float[Tensor, "1 row heads dim"], None]:
    """The same by FlashAttention's kernel for lengths that differ (`packing.attend_varlen`). Where
    queries are fewer than keys, it takes them for the last, which they are.

    Source: flash-attn from 2.1 on, README, "Change behavior of causal flag".
    """
    keys, values = (torch.cat(reach.gather(x), dim=2) for x in (key, value))
    return packing.attend_varlen(module, query, keys, values, attention_mask, **given)


# Without masks of these names: models with plain positions would make them.
AttentionInterface.register(f"{_NAME}sdpa", attend)


def prepare_sharing(model: PreTrainedModel, family: Family) -> None:
    """Have the language part of a model that packs (`packing.prepare`) take rows with shared
    beginnings, and no others.

    Raises:
        ConfigError: It cannot, or its attention cannot.
    """
    if family.linear_attention(model.config).layers:
        raise ConfigError(
            f"model.shared_prefix: layers of {family.name} keep a state of what they read, which "
            "sequences cannot share; set model.shared_prefix=false"
        )
    text: Any = model.config.get_text_config()
    kind = text._attn_implementation
    if not kind.startswith("flash_attention"):
        text._attn_implementation = f"{_NAME}sdpa"
        return
    if flash_attn_supports_top_left_mask():
        raise ConfigError(
            "model.shared_prefix: this FlashAttention takes queries for the first tokens, not the "
            "last; set model.attn_implementation=sdpa, or model.shared_prefix=false"
        )
    text._attn_implementation = f"{_NAME}{kind}"
    AttentionInterface.register(f"{_NAME}{kind}", partial(attend_varlen, kind=kind))


@dataclass(frozen=True, slots=True)
class SharedPacking:
    """Which entries of a padded batch stand in the row, and where every token finds its own.

    Attributes:
        is_own: On the tokens in the row; what a sequence shares stands with an earlier one.
        places: Of each token in the row; padding is past its end.
        reach: For attention.
    """

    is_own: Bool[Tensor, "batch tokens"]
    places: Int[Tensor, "batch tokens"]
    reach: Reach

    @classmethod
    def of(
        cls,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"],
        pictures: Int[Tensor, "batch tokens"],
    ) -> SharedPacking:
        """Find what sequences begin with alike.

        Args:
            input_ids: Padding may be on either side.
            attention_mask: 1 on tokens.
            pictures: On placeholders the number of what is shown, the same for the same; -1
                elsewhere.
        """
        is_token = attention_mask.bool()
        ids = input_ids.where(pictures < 0, -1 - pictures)
        found = _spans(ids.cpu().numpy(), is_token.cpu().numpy())
        shared = torch.tensor([num for num, _ in found], device=is_token.device)
        is_own = is_token & (is_token.cumsum(-1) > shared[:, None])
        own = is_own.sum(-1).tolist()
        spans = [of_one for _, of_one in found]
        places = torch.full_like(input_ids, sum(own))
        each = [np.arange(a, b) for of_one in spans for a, b in of_one]
        places[is_token] = torch.from_numpy(np.concatenate(each)).to(places)
        return cls(is_own, places, Reach.of(spans, own))

    @classmethod
    def of_batch(cls, batch: TrainingBatch, config: Any, *, family: Family) -> SharedPacking:
        """The same, with the pictures of a batch.

        Args:
            batch: Where views are missing, no two pictures are the same.
            config: The model's.
            family: Its family.
        """
        counts = family.num_tokens(batch.image_grid_thw, config)
        pictures = torch.full_like(batch.input_ids, -1)
        numbers = torch.tensor(_numbers(batch)).to(pictures)
        pictures[batch.input_ids == config.image_token_id] = numbers.repeat_interleave(counts)
        return cls.of(batch.input_ids, batch.attention_mask, pictures)

    def row(self, values: Shaped[Tensor, "batch tokens"]) -> Shaped[Tensor, "1 row"]:
        """What each sequence has to itself, sequence after sequence."""
        return values[self.is_own][None]

    def at(
        self,
        states: Float[Tensor, "1 row hidden"],
        rows: Int[Tensor, " n"],
        columns: Int[Tensor, " n"],
    ) -> Float[Tensor, "n hidden"]:
        """Those of tokens that stand there in the batch."""
        return states[0, self.places[rows, columns]]

    def batch(self, states: Float[Tensor, "1 row hidden"]) -> Float[Tensor, "batch tokens hidden"]:
        """To each sequence all that it consists of; padding is 0."""
        with_blank = pad(states[0], (0, 0, 0, 1))
        return with_blank.index_select(0, self.places.flatten()).unflatten(0, self.places.shape)

    def told(self, model: PreTrainedModel) -> dict[str, Any]:
        """What attention is told of the sequences, as its kind takes it."""
        reach, device = self.reach, self.places.device
        counts = list(zip(reach.own, reach.num_seen, strict=True))
        if attention_kind(model) == f"{_NAME}sdpa":
            masks = [
                None if own == seen
                else torch.ones(own, seen, dtype=torch.bool, device=device).tril(seen - own)
                for own, seen in counts
            ]  # fmt: skip
            return {"reach": reach, "masks": masks}
        ends_q, ends_k = (
            torch.tensor((0, *accumulate(column)), dtype=torch.int32, device=device)
            for column in zip(*counts, strict=True)
        )
        return {
            "reach": reach,
            "cu_seq_lens_q": ends_q, "cu_seq_lens_k": ends_k,
            "max_length_q": max(reach.own), "max_length_k": max(reach.num_seen),
        }  # fmt: skip


def encode_once(
    batch: TrainingBatch,
    pixel_values: Float[Tensor, "pieces ..."],
    *,
    family: Family,
    encode: Callable[[Tensor, Tensor], list[Tensor]],
) -> Float[Tensor, "image_tokens width"]:
    """Features of all pictures in their order, though what several sequences show is encoded once.

    Args:
        batch: Of the pictures.
        pixel_values: Of all of them.
        family: Of the model.
        encode: Features of each picture, of pixels and grids (`Policy.encode_views`).
    """
    numbers, grids = _numbers(batch), batch.image_grid_thw
    first = [numbers.index(number) for number in range(max(numbers) + 1)]
    pieces = pixel_values.split(family.num_pieces(grids).tolist())
    encoded = encode(torch.cat([pieces[i] for i in first]), grids[first])
    return torch.cat([encoded[number] for number in numbers])


def _numbers(batch: TrainingBatch) -> list[int]:
    """Of each picture a number, from 0 in the order of what is shown first; views of the same key
    show the same.
    """
    num = len(batch.image_grid_thw)
    keys = [view.key for view in batch.views] if len(batch.views) == num else range(num)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def _spans(ids: np.ndarray, is_token: np.ndarray) -> list[tuple[int, list[Span]]]:
    """Of each sequence how many tokens it shares with an earlier one, and of which spans of the row
    it consists.
    """
    lengths = is_token.sum(1)
    num, width = ids.shape
    # to the left, and an end that is no other's: no two are alike past the shorter one's end
    aligned = np.repeat(-1 - ids.size - np.arange(num)[:, None], width + 1, axis=1)
    aligned[:, :width][np.arange(width) < lengths[:, None]] = ids[is_token]
    found: list[tuple[int, list[Span]]] = []
    end = 0
    for i, length in enumerate(lengths.tolist()):
        shared, spans = 0, []
        if i:
            alike = (aligned[:i] == aligned[i]).argmin(1)
            origin = int(alike.argmax())
            if alike[origin] >= LEAST_SHARED:
                shared = int(alike[origin])
                spans = _first(found[origin][1], shared)
        start, end = end, end + length - shared
        found.append((shared, [*spans, (start, end)] if start < end else spans))
    return found


def _first(spans: Sequence[Span], num: int) -> list[Span]:
    """The first `num` tokens of a sequence."""
    kept: list[Span] = []
    for a, b in spans:
        if num <= 0:
            break
        kept.append((a, min(b, a + num)))
        num -= b - a
    return kept
