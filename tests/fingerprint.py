"""Whether two sets of weights are the same, without holding both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def weight_fingerprint(weights: Iterable[tuple[str, Tensor]]) -> str:
    """16 hex digits that change when a weight, shape, dtype or name does; order does not matter.

    Exact integer sums over the weights' bits, so it is the same on every device.
    """
    lines = sorted(
        f"{name} {tuple(weight.shape)} {weight.dtype} {_bit_sum(weight)}"
        for name, weight in weights
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _bit_sum(weight: Tensor) -> int:
    ints = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    bits = weight.detach().contiguous().view(ints).reshape(max(1, weight.shape[0]), -1)
    row_sums = bits.sum(-1, dtype=torch.int64)  # weighted by row, so that swapped rows show
    return int((row_sums * torch.arange(1, len(row_sums) + 1, device=bits.device)).sum().item())
