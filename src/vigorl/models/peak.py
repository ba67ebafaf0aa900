"""What a device could do at most, for `perf/mfu` and for plans."""

from __future__ import annotations

import time

import torch

from vigorl.core.devices import device_named

_SIDE = 1024
_TRIES = 8
_COPIED_BYTES = 2**28


def peak_flops(device: torch.device) -> float | None:
    """Per second: of a GPU its maker's figure for 16-bit floats, None where it is not known; of a
    CPU what a product of 32-bit matrices is measured at, with the threads that torch has now.
    """
    if device.type == "cuda":
        found = device_named(torch.cuda.get_device_name(device))
        return None if found is None else found.flops
    if device.type != "cpu":
        return None
    left, right = torch.randn(2, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    best_s = float("inf")
    for _ in range(_TRIES):
        started = time.perf_counter()
        torch.mm(left, right)
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * _SIDE**3 / best_s


def memory_rate() -> float:
    """Bytes per second to and from this CPU's memory, measured by copying."""
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    best_s = float("inf")
    for _ in range(_TRIES):
        started = time.perf_counter()
        target.copy_(source)
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * _COPIED_BYTES / best_s
