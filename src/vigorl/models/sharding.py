"""FSDP2: a policy's weights in parts over ranks, and whole ones again.

    unit        gathered together while it is computed, and let go after it: a layer, a block
    root        the policy: whatever is called first, its weights' turns are known to one place

What is gathered hangs on CALLS of modules, so ranks that differ in pictures or tokens must call
each unit equally often; see `ScoringHead` and `VisionCache`. Left out: weights made in parts (each
rank loads the model before it keeps its part), and float8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from vigorl.models.policy import Policy


def weight_mesh(device: str, *, num_ranks: int, copies: int) -> DeviceMesh:
    """[ranks], or [copies, ranks of each]; all ranks make it together."""
    if copies == 1:
        return init_device_mesh(device, (num_ranks,))
    shape = (copies, num_ranks // copies)
    return init_device_mesh(device, shape, mesh_dim_names=("copies", "parts"))


def shard_policy(policy: Policy, mesh: DeviceMesh, *, gather_dtype: torch.dtype | None) -> None:
    """Split a policy's weights over ranks in place; what is called of it stays the same.

    Args:
        policy: On every rank the same, and whole.
        mesh: From `weight_mesh`.
        gather_dtype: That weights are cast to before they travel; gradients are summed in float32
            then. None keeps the weights' own for both.
    """
    how = {"mesh": mesh, "reshard_after_forward": True, "mp_policy": _precision(gather_dtype)}
    for unit in _units(policy):
        fully_shard(unit if len(unit) > 1 else unit[0], **how)
    fully_shard(policy, **how)
    for entry in ("encode_views", "response_logprobs"):  # beside `forward`
        register_fsdp_forward_method(policy, entry)


def shard_module(module: nn.Module, mesh: DeviceMesh) -> None:
    """The same for a small module of one call."""
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def is_sharded(module: nn.Module) -> bool:
    return isinstance(module, FSDPModule)


def _precision(gather_dtype: torch.dtype | None) -> MixedPrecisionPolicy:
    if gather_dtype is None:
        return MixedPrecisionPolicy()
    # positions, masks and what autocast left in float32 stay as they come
    return MixedPrecisionPolicy(
        param_dtype=gather_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def _units(policy: Policy) -> Iterator[list[nn.Module]]:
    """Innermost first. Weights that two modules share are one unit of both."""
    model, family = policy.model, policy.family
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            yield [module]
    embeddings: Any = model.get_input_embeddings()
    head: Any = model.lm_head
    own = {id(weight) for weight in embeddings.parameters()}
    if any(id(weight) in own for weight in head.parameters()):
        yield [embeddings, head]
    else:
        yield from ([part] for part in (embeddings, head) if any(True for _ in part.parameters()))
    tower = family.tower(model)
    parts = list(tower.children()) if isinstance(tower, nn.ModuleDict) else [tower]
    yield from ([part] for part in (*parts, family.language_model(model)))
