"""Sequences in one row say what they say alone, and teach the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.unit.models.small import (
    FAMILIES,
    assert_same_grads,
    grads,
    make_batch,
    make_policy,
    patch_of,
)
from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models.policy import Policy

ROWS = [[(4, 4), (2, 4)], [], [(4, 8), (4, 4), (2, 4), (4, 4)], [(2, 2)]]  # pictures of each


def scored(policy: Policy, batch: TrainingBatch) -> Tensor:
    """Log-probabilities; a weighted sum of them is learned from."""
    logprobs, _ = policy.response_logprobs(batch)
    assert batch.advantages is not None
    (logprobs * batch.advantages).sum().backward()
    return logprobs.detach()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_packed_is_alone(family: str, side: str) -> None:
    batch = make_batch(*ROWS, side=side, patch=patch_of(family))
    settings = {"freeze_vision_tower": False}
    padded, packed = (make_policy(family, packing=packs, **settings) for packs in (False, True))
    expected, found = scored(padded, batch), scored(packed, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    wanted, taught = grads(padded.model), grads(packed.model)
    assert_same_grads(taught, wanted)
    apart = get_total_norm([taught[name] - wanted[name] for name in wanted])
    assert apart <= 1e-6 * get_total_norm(list(wanted.values()))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_states_are_those_of_the_whole_batch(side: str, shared: bool) -> None:
    policy, batch = make_policy(packing=True, shared_prefix=shared), make_batch(*ROWS, side=side)
    places = batch.attention_mask.nonzero(as_tuple=True)
    assert torch.equal(policy(batch, at=places), policy(batch)[places])


class Shapes(TorchDispatchMode):
    """Of every tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        self.seen |= {tuple(one.shape) for one in tree_leaves(made) if isinstance(one, Tensor)}
        return made


@pytest.mark.parametrize("how", [{}, {"packing": True}, {"packing": True, "shared_prefix": True}])
def test_a_row_is_not_spread_out_for_the_head(how: dict[str, Any]) -> None:
    policy, batch = make_policy(**how), make_batch(*ROWS)
    with Shapes() as shapes:
        scored(policy, batch)
    assert ((*batch.input_ids.shape, 64) in shapes.seen) == (not how)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_padding_is_not_computed(checkpointed: bool) -> None:
    batch = make_batch(*ROWS)
    policy = make_policy(packing=True, gradient_checkpointing=checkpointed).train()
    seen = []
    layer = policy.family.language_model(policy.model).layers[0].mlp  # pyright: ignore
    assert isinstance(layer, nn.Module)
    layer.register_forward_hook(lambda _, given, made: seen.append(made.shape[:2]))
    scored(policy, batch)
    assert set(seen) == {(1, int(batch.attention_mask.sum()))}
    assert batch.input_ids.numel() > 2 * batch.attention_mask.sum()


def test_attention_that_cannot_pack_is_refused() -> None:
    hybrid = make_policy("qwen3_5")
    hybrid.model.config.get_text_config()._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match=r"flash_attention_2 cannot with the linear layers of Q"):
        Policy(hybrid.model, packing=True)
    policy = make_policy()
    policy.model.config.get_text_config()._attn_implementation = "eager"
    with pytest.raises(ConfigError, match=r"model.packing: attn_implementation=eager cannot"):
        Policy(policy.model, packing=True)
