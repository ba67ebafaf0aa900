"""One rank of test_fsdp2.py: a step of uneven batches on weights in parts equals that of one
process.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from tests.fingerprint import weight_fingerprint
from tests.unit.models.small import FAMILIES, make_batch, make_model, patch_of
from tests.unit.models.test_vision_cache import Pixels
from vigorl.models.lora import LoraSettings
from vigorl.models.losses import sft_loss
from vigorl.models.parts import part_of, total_norm, whole
from vigorl.models.policy import Policy
from vigorl.models.sharding import shard_policy, weight_mesh
from vigorl.models.vision_cache import VisionCache
from vigorl.models.weight_export import export_adapters, export_weights

ROWS = ([[(4, 4), (2, 4)]], [[], [], []])  # rank 1 has no pictures, and more tokens
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"freeze_vision_tower": False, "gradient_checkpointing": True},
    {"lora": LoraSettings(rank=2), "gradient_checkpointing": True},
    {"packing": True, "gradient_checkpointing": True},
    {"freeze_language_model": True, "freeze_vision_tower": False},
)


def check(family: str, settings: dict[str, Any], *, tied: bool, copies: int) -> None:
    """Logprobs, exported weights, the gradient's norm and one clipped step equal those of one
    process.
    """
    rank, num = dist.get_rank(), dist.get_world_size()
    alone, policy = (Policy(make_model(family, tied=tied), **settings) for _ in range(2))
    policy.train()
    torch.manual_seed(3)
    for (name, weight), same in zip(alone.named_parameters(), policy.parameters(), strict=True):
        if "lora_" in name:
            weight.data.normal_(std=0.1)
            same.data.copy_(weight.data)
    start = weight_fingerprint(export_weights(alone.model))
    mesh = weight_mesh("cpu", num_ranks=num, copies=copies)
    shard_policy(policy, mesh, gather_dtype=None)
    assert all(isinstance(weight, DTensor) for weight in policy.parameters())
    parts = [weight.to_local().numel() for weight in policy.parameters()]
    assert sum(parts) < 0.6 * sum(weight.numel() for weight in policy.parameters()) or copies > 1

    batch = make_batch(*ROWS[rank % 2], patch=patch_of(family))
    expected, _ = alone.response_logprobs(batch)
    if policy.is_vision_frozen:
        cache = VisionCache(policy, always_call=True)
        features = cache.get(batch.views, Pixels(patch_of(family)))
        blind = replace(batch, pixel_values=None)
        with torch.no_grad():
            found, _ = policy.response_logprobs(blind, features=features, chunk_tokens=2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert weight_fingerprint(export_weights(policy.model, bucket_bytes=20_000)) == start
    for _ in range(2):  # two micro-batches of the same
        found, _ = policy.response_logprobs(batch, chunk_tokens=2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        (sft_loss(found, batch.loss_mask, batch.token_weight).loss / 2).backward()
    own = dict(export_adapters(alone.model))
    for name, weight in export_adapters(policy.model):
        torch.testing.assert_close(weight, own.pop(name), msg=name)
    assert not own

    for rows in ROWS:
        part = make_batch(*rows, patch=patch_of(family))
        logprobs, _ = alone.response_logprobs(part)
        (sft_loss(logprobs, part.loss_mask, part.token_weight).loss / 2).backward()
    wanted_norm = total_norm(w.grad for w in alone.parameters() if w.grad is not None)
    found_norm = total_norm(w.grad for w in policy.parameters() if w.grad is not None)
    torch.testing.assert_close(found_norm, wanted_norm, atol=1e-6, rtol=1e-5)
    for one in (alone, policy):
        learning = [weight for weight in one.parameters() if weight.requires_grad]
        torch.nn.utils.clip_grad_norm_(learning, float(wanted_norm) / 2)
        torch.optim.SGD(learning, lr=0.1).step()
    wanted = dict(export_weights(alone.model))
    for name, weight in export_weights(policy.model, bucket_bytes=20_000):
        torch.testing.assert_close(weight, wanted[name], atol=1e-6, rtol=1e-5, msg=name)
    for weight in policy.parameters():
        torch.testing.assert_close(whole(part_of(whole(weight), like=weight)), whole(weight))


def check_precisions(gather_dtype: torch.dtype | None) -> None:
    """Adapters in float32 beside a base in bfloat16, and what travels in another dtype: the numbers
    of one process, and the mean of the ranks' gradients as one that is taken in float32 has it. In
    bfloat16 it would be 2^-9 off.
    """
    rank, num = dist.get_rank(), dist.get_world_size()
    alone, policy = (Policy(make_model(), lora=LoraSettings(rank=2)) for _ in range(2))
    torch.manual_seed(3)
    for (name, weight), same in zip(alone.named_parameters(), policy.parameters(), strict=True):
        weight.data = weight.data.normal_(std=0.1) if "lora_" in name else weight.data.bfloat16()
        same.data = weight.data.clone()
    mesh = weight_mesh("cpu", num_ranks=num, copies=1)
    shard_policy(policy, mesh, gather_dtype=gather_dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = policy.response_logprobs(make_batch(*ROWS[rank % 2]))
    found.sum().backward()
    for one in range(num):
        with torch.autocast("cpu", torch.bfloat16):  # one for each, or its casts sum in bfloat16
            wanted, _ = alone.response_logprobs(make_batch(*ROWS[one % 2]))
        (wanted.sum() / num).backward()
        if one == rank:
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    for (name, weight), same in zip(alone.named_parameters(), policy.parameters(), strict=True):
        assert (same.grad is None) == (weight.grad is None) == ("lora_" not in name)
        if weight.grad is not None and same.grad is not None:
            assert same.grad.dtype == torch.float32
            torch.testing.assert_close(whole(same.grad), weight.grad, atol=0, rtol=1e-6, msg=name)


def main(copies: int = 1) -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    for gather_dtype in (None, torch.bfloat16):
        check_precisions(gather_dtype)
    for settings in VARIANTS:
        for tied in (False, True):
            check("qwen2_5_vl", settings, tied=tied, copies=copies)
    for family in FAMILIES[1:]:
        for settings in VARIANTS[:2]:
            check(family, settings, tied=False, copies=copies)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # by hand: four processes with 2 copies
