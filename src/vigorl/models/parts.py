"""Tensors that FSDP2 keeps in parts over ranks (DTensors), and plain ones, asked alike."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. Of one in parts it is a copy, and all ranks must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def held(tensor: Tensor) -> Tensor:
    """What of a tensor is on this rank."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, *, like: Tensor) -> Tensor:
    """This rank's part of a whole tensor, where `like` is in parts and of the same shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.detach(), like.device_mesh, like.placements, src_data_rank=None)


def total_norm(gradients: Iterable[Tensor]) -> Tensor:
    """Of all of them; of those in parts over all ranks, which must all ask for it."""
    return whole(torch.nn.utils.get_total_norm(list(gradients)))
