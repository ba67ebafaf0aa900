"""What a model must know about being spread over ranks: is a weight whole, how many calls."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def is_partitioned(weight: Tensor) -> bool:
    """Whether ZeRO-3 holds only a slice of this weight on this rank."""
    return hasattr(weight, "ds_id")


def max_over_ranks(value: int, *, device: torch.device) -> int:
    """The largest value of all ranks; the value itself without a process group.

    Under ZeRO-3 every call of a module gathers its weights from all ranks, so a rank that calls it
    less often than the others hangs the run. Whoever calls a module a data-dependent number of
    times agrees on that number here first.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    agreed = torch.tensor(value, device=device)
    dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
    return int(agreed.item())
