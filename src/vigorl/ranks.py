"""What the ranks of a run tell each other in plain Python objects; torch is imported when asked."""

from __future__ import annotations

from typing import TypeVar

from vigorl.core.spans import Kind, span

Value = TypeVar("Value")


def num_ranks() -> int:
    """1 where nothing has connected several processes."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_rank() -> int:
    """0 where nothing has connected several processes."""
    import torch.distributed as dist

    return dist.get_rank() if num_ranks() > 1 else 0


def from_all_ranks(own: Value) -> list[Value]:
    """Each rank's value, in the order of ranks; all ranks must call it."""
    if num_ranks() == 1:
        return [own]
    import torch.distributed as dist

    found = [own] * num_ranks()
    with span(Kind.WAIT, "other ranks"):
        dist.all_gather_object(found, own)
    return found
