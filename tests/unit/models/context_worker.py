"""One rank of test_context_parallel.py: rows that two processes read together say and teach what
one process says and learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from tests.unit.families.test_internvl import make_sequences
from tests.unit.models.small import FAMILIES, grads, make_batch, make_policy, patch_of
from vigorl.data.collate import TrainingBatch
from vigorl.models.lora import LoraSettings
from vigorl.models.policy import Policy

SIZE = 2
ROWS = ([(4, 4), (2, 4)], [], [(4, 8), (4, 4), (2, 4), (4, 4)], [(2, 2)])  # pictures of each
VARIANTS: tuple[dict[str, Any], ...] = (
    {"freeze_vision_tower": False},
    {"freeze_vision_tower": False, "shared_prefix": True, "gradient_checkpointing": True},
)
MORE: tuple[dict[str, Any], ...] = (
    {"lora": LoraSettings(rank=2), "gradient_checkpointing": True},
    {"freeze_language_model": True, "freeze_vision_tower": False},
)


@contextmanager
def together(policy: Policy) -> Iterator[None]:
    assert policy.context is not None
    policy.context.is_reading = True
    try:
        yield
    finally:
        policy.context.is_reading = False


def scored(policy: Policy, batch: TrainingBatch, *, share: int = 1) -> tuple[Tensor, Tensor]:
    """Logprobs and entropies, of which something uneven is learned."""
    logprobs, entropies = policy.response_logprobs(
        batch, with_entropy=True, entropy_gradient=True, chunk_tokens=2
    )
    assert entropies is not None
    uneven = torch.linspace(-1, 1, len(logprobs))[:, None]
    ((logprobs * uneven).sum() - 0.1 * entropies.sum()).div(share).backward()
    return logprobs.detach(), entropies.detach()


def check(
    make: Callable[..., Policy], settings: dict[str, Any], batch: TrainingBatch, own: TrainingBatch
) -> None:
    """One row on both, with a blank behind it where its tokens are odd; and another of each.

    Args:
        make: A policy of settings, the same each time.
        settings: Of it.
        batch: The same on both.
        own: Of this one.
    """
    alone = make(packing=True, **settings).train()
    policy = make(packing=True, context_parallel=SIZE, **settings).train()
    for (name, weight), same in zip(alone.named_parameters(), policy.parameters(), strict=True):
        if "lora_" in name:
            weight.data.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
            same.data.copy_(weight.data)
    assert policy.context is not None
    policy.context.join()
    num = int(batch.attention_mask.sum())
    if policy.shared_prefix:
        num = int(policy.sharing(batch).is_own.sum())
    seen = set[int]()
    layer = policy.family.language_model(policy.model).get_submodule("layers.0.mlp")
    layer.register_forward_hook(lambda _, given, made: seen.add(made.shape[1]))

    expected = scored(alone, batch)
    with together(policy):
        found = scored(policy, batch, share=SIZE)
    assert seen == {-(-num // SIZE)}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    wanted, taught = grads(alone), grads(policy)
    assert taught.keys() == wanted.keys()
    for gradient in taught.values():  # each group has one of its own
        dist.all_reduce(gradient.mul_(SIZE / dist.get_world_size()))
    apart = get_total_norm([taught[name] - wanted[name] for name in wanted])
    assert apart <= 1e-6 * get_total_norm(list(wanted.values()))

    with torch.no_grad():
        assert torch.equal(policy.response_logprobs(own)[0], alone.response_logprobs(own)[0])
        with together(policy):
            torch.testing.assert_close(policy(batch), alone(batch), atol=1e-5, rtol=0)


def main(folder: Path) -> None:
    sequences = make_sequences(folder)  # connected ranks but the first would write no model
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    own_row = ROWS[dist.get_rank() % len(ROWS)]
    for family in FAMILIES:
        for settings in VARIANTS if family != "qwen3_5" else ():
            make, patch = partial(make_policy, family), patch_of(family)
            batch = make_batch(*ROWS, patch=patch, shared=True)
            check(make, settings, batch, make_batch(own_row, patch=patch))
    batch, own = make_batch(*ROWS), make_batch(own_row)
    for settings in MORE:
        check(make_policy, settings, batch, own)
    only = torch.zeros_like(batch.loss_mask)
    only[3, batch.loss_mask[3].nonzero()[0]] = True  # one process scores nothing
    check(make_policy, VARIANTS[0], replace(batch, loss_mask=only), own)
    make = partial(Policy.from_pretrained, folder, dtype="float32")
    for settings in VARIANTS:
        check(make, settings, sequences, sequences)
    dist.destroy_process_group()


if __name__ == "__main__":
    with TemporaryDirectory() as own_folder:
        main(Path(own_folder))
