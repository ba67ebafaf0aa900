"""One packed row over several processes, so that each keeps the activations of a part of it:

    embeddings   of the whole row, on each process
    layers       each has [tokens / n, hidden]; around attention tokens are exchanged for heads, so
                 that each sees the whole row with 1 / n of the heads
    states       brought together on each
    head         each scores 1 / n of the tokens

The processes of a group read the same micro-batch and make the same loss. Every step here passes
gradients on as if all processes were one, and each one's loss counts 1 / n: what they have of a
weight's gradient is then summed by whatever sums it over ranks.

Left out: more processes than key-value heads; layers that keep a state (Qwen3.5's); the vision
tower and a critic's head, which each process runs whole.

Source: DeepSpeed-Ulysses, arXiv:2309.14509, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.constants import default_pg_timeout
from torch.nn.functional import pad
from transformers import AttentionInterface, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vigorl.core.errors import ConfigError
from vigorl.families.family import Family
from vigorl.models.packing import SPLIT, attend_varlen


class ContextGroup:
    """This process among the neighbours by rank with which it reads rows together.

    Attributes:
        size: How many they are.
        rank: This one's number among them, from 0.
        first: Rank of the first of them.
        is_reading: Whether rows are read together now; all of a group say the same.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rank, self.first = size, 0, 0
        self.is_reading = False
        self._world: Any = None
        self._group: Any = None

    def join(self) -> None:
        """Find the others; all ranks call it, once they are connected, and again by each run.

        Raises:
            ConfigError: The ranks do not divide into groups of this size.
        """
        num_ranks = dist.get_world_size() if dist.is_initialized() else 1
        if num_ranks % self.size:
            raise ConfigError(
                f"model.context_parallel={self.size} must divide the {num_ranks} processes of "
                "trainer.devices x trainer.num_nodes"
            )
        if self._world is not dist.group.WORLD:  # groups are never given back
            self._group, _ = dist.new_subgroups(self.size, timeout=default_pg_timeout)
            self._world = dist.group.WORLD
        self.rank, self.is_reading = dist.get_rank() % self.size, False
        self.first = dist.get_rank() - self.rank

    @property
    def members(self) -> range:
        """Their ranks."""
        return range(self.first, self.first + self.size)

    def gather(self, own: Any) -> list[Any]:
        """Each process's value, a plain object, in the order of ranks; all call it."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, own, group=self._group)
        return found

    def share(self, num: int) -> slice:
        """Which of so many things are this process's, as equally as they divide."""
        return slice(num * self.rank // self.size, num * (self.rank + 1) // self.size)

    def summed(self, values: Tensor) -> Tensor:
        """Over the processes; each gets the sum."""
        return _Sum.apply(values, self._group)

    def heads_for_tokens(
        self, states: Float[Tensor, "1 heads part dim"]
    ) -> Float[Tensor, "1 own_heads row dim"]:
        """From all heads of a part of the row to some heads of all of it."""
        to_each = states[0].unflatten(0, (self.size, -1))
        return _Exchange.apply(to_each, self._group).transpose(0, 1).flatten(1, 2)[None]

    def tokens_for_heads(
        self, states: Float[Tensor, "1 row own_heads dim"]
    ) -> Float[Tensor, "1 part heads dim"]:
        """The way back; attention has put tokens before heads."""
        to_each = states[0].unflatten(0, (self.size, -1))
        return _Exchange.apply(to_each, self._group).transpose(0, 1).flatten(1, 2)[None]


@cache
def context_group(size: int) -> ContextGroup:
    """That of this process, whichever of its models reads: a policy, its reference, a critic."""
    return ContextGroup(size)


class _Exchange(Function):
    """Part i of the first axis goes to process i; what comes from process i is part i."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, group: Any) -> Tensor:
        ctx.group = group
        parts = parts.contiguous()
        found = torch.empty_like(parts)
        dist.all_to_all_single(found, parts, group=group)
        return found

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None]:
        return _Exchange.apply(gradient, ctx.group), None


class _Sum(Function):
    """Over processes. Behind each stands a loss of its own, so gradients are summed likewise."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Any) -> Tensor:
        ctx.group = group
        values = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(values, group=group)
        return values

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None]:
        return _Sum.apply(gradient, ctx.group), None


@dataclass(frozen=True, slots=True)
class SplitRow:
    """A row of `num_tokens`, in parts of equal length over a group's processes; blanks stand behind
    the last token.
    """

    num_tokens: int
    group: ContextGroup

    @property
    def part_tokens(self) -> int:
        return -(-self.num_tokens // self.group.size)

    @property
    def num_blanks(self) -> int:
        return self.part_tokens * self.group.size - self.num_tokens

    def own(
        self, values: Shaped[Tensor, "*before row *behind"], dim: int
    ) -> Shaped[Tensor, "*before part *behind"]:
        """This process's part of values by token, which stand in axis `dim`."""
        behind = [0, 0] * (values.ndim - 1 - dim % values.ndim) + [0, self.num_blanks]
        first = self.group.rank * self.part_tokens
        return pad(values, behind).narrow(dim, first, self.part_tokens)

    def whole(self, part: Float[Tensor, "1 part hidden"]) -> Float[Tensor, "1 row hidden"]:
        """From the part that each process has."""
        before, behind = self.group.rank, self.group.size - 1 - self.group.rank
        spread = pad(part, (0, 0, before * self.part_tokens, behind * self.part_tokens))
        return self.group.summed(spread)[:, : self.num_tokens]


def attend(
    module: nn.Module,
    query: Float[Tensor, "1 heads part dim"],
    key: Float[Tensor, "1 kv_heads part dim"],
    value: Float[Tensor, "1 kv_heads part dim"],
    attention_mask: None,
    *,
    inner: Callable[..., tuple[Tensor, Any]],
    row: SplitRow | None = None,
    **given: Any,
) -> tuple[Float[Tensor, "1 part heads dim"], None]:
    """Attention of another kind, `inner`, to a row of which each process has a part; without `row`
    to one that this process has whole.
    """
    if row is None:
        return inner(module, query, key, value, attention_mask, **given)
    group = row.group
    own = [group.heads_for_tokens(x)[:, :, : row.num_tokens] for x in (query, key, value)]
    seen, _ = inner(module, *own, attention_mask, **given)
    return group.tokens_for_heads(pad(seen, (0, 0, 0, 0, 0, row.num_blanks))), None


def prepare_context(model: PreTrainedModel, family: Family, group: ContextGroup) -> None:
    """Have the language part of a model that packs (`packing.prepare`, `prepare_sharing`) read its
    part of a row where it is told of one, as `row`.

    Raises:
        ConfigError: Its layers cannot be split so.
    """
    text: Any = model.config.get_text_config()
    if family.linear_attention(model.config).layers:
        raise ConfigError(
            f"model.context_parallel: layers of {family.name} keep a state of what they read, "
            "which processes cannot share; set model.context_parallel=1"
        )
    if text.num_key_value_heads % group.size:
        raise ConfigError(
            f"model.context_parallel={group.size} must divide the {text.num_key_value_heads} "
            "key-value heads of the model"
        )
    kind, inner = text._attn_implementation, ALL_ATTENTION_FUNCTIONS[text._attn_implementation]
    if kind.startswith("flash_attention"):
        inner = partial(attend_varlen, kind=kind)
    AttentionInterface.register(f"{SPLIT}{kind}", partial(attend, inner=inner))
    text._attn_implementation = f"{SPLIT}{kind}"
    family.language_model(model).register_forward_pre_hook(_with_own_part, with_kwargs=True)


def _with_own_part(
    module: nn.Module, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the language model is called with, as far as it is this process's."""
    row: SplitRow | None = given.get("row")
    if row is None:
        return args, given
    given = given | {
        "inputs_embeds": row.own(given["inputs_embeds"], dim=1),
        "position_ids": row.own(given["position_ids"], dim=-1),
    }
    is_image = given.get("visual_pos_masks")
    if is_image is not None:  # deepstack: of each picture token its number among them
        own, numbers = row.own(is_image, dim=1), row.own(is_image.cumsum(1) - 1, dim=1)
        levels = [level[numbers[own]] for level in given["deepstack_visual_embeds"]]
        given |= {"visual_pos_masks": own, "deepstack_visual_embeds": levels}
    return args, given
