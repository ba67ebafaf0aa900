"""What several sequences begin with, read once, says and teaches what it does in each alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import modeling_flash_attention_utils as flash

from tests.unit.models.small import (
    END,
    FAMILIES,
    IMAGE,
    START,
    grads,
    make_batch,
    make_policy,
    make_view,
    patch_of,
)
from tests.unit.models.test_packing import scored
from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models import shared_prefix
from vigorl.models.lora import LoraSettings
from vigorl.models.policy import Policy
from vigorl.models.shared_prefix import SharedPacking

KINDS = [one for one in FAMILIES if one != "qwen3_5"]
FIRST = (8, 8)  # a picture of 16 tokens: with what stands round it a prompt of 19
# pictures of each, the token where it turns from the first of its prompt, and how many it reads
ROWS = [
    ([FIRST, (2, 4)], None, 31),
    ([FIRST, (2, 4), (4, 4), (2, 2)], 27, 48 - 27),  # a fork: goes on from the crop
    ([FIRST, (4, 8)], 19, 37 - 19),
    ([FIRST], 21, 23 - 21),
    ([(8, 4), (4, 4)], 0, 25),  # another prompt
    ([], 0, 5),
    ([(8, 4)], 14, 15),  # shares less than is worth it
    ([(8, 4), (4, 4)], 0, 0),  # the same again
]


def dialogs(side: str = "right", family: str = "qwen2_5_vl", *, rows: Any = ROWS) -> TrainingBatch:
    """The rows as a batch; from where it turns a row has words of its own."""
    pictures = [pictures for pictures, _, _ in rows]
    batch = make_batch(*pictures, side=side, patch=patch_of(family), shared=True)
    rank = batch.attention_mask.cumsum(-1) - 1
    turns = torch.tensor([1000 if turn is None else turn for _, turn, _ in rows])
    own = torch.tensor([8 * i if turn else 0 for i, (_, turn, _) in enumerate(rows)])
    is_word = batch.attention_mask.bool() & ~torch.isin(
        batch.input_ids, torch.tensor([IMAGE, START, END])
    )
    is_own = is_word & (rank >= turns[:, None])
    return replace(batch, input_ids=batch.input_ids + own[:, None] * is_own)


def relative(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """How far all gradients together are from each other."""
    assert found.keys() == expected.keys()
    ours, theirs = (torch.cat([g.flatten() for g in x.values()]) for x in (found, expected))
    return float((ours - theirs).norm() / theirs.norm())


def assert_same(shared: Policy, alone: Policy, batch: TrainingBatch) -> None:
    expected, found = scored(alone, batch), scored(shared, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert relative(grads(shared.model), grads(alone.model)) < 1e-6


def both(family: str = "qwen2_5_vl", **how: Any) -> tuple[Policy, Policy]:
    return make_policy(family, packing=True, shared_prefix=True, **how), make_policy(family, **how)


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_shared_is_alone(family: str, side: str) -> None:
    assert_same(*both(family, freeze_vision_tower=False), dialogs(side, family))


@pytest.mark.parametrize("how", [{"gradient_checkpointing": True}, {"lora": LoraSettings()}])
def test_shared_is_alone_however_it_learns(how: dict[str, Any]) -> None:
    shared, alone = both(**how)
    assert_same(shared.train(), alone.train(), dialogs())


def part(batch: TrainingBatch, first: int, last: int) -> TrainingBatch:
    """Some rows of it, padded as before."""
    assert batch.advantages is not None
    assert batch.pixel_values is not None
    before, until = (sum(len(pictures) for pictures, _, _ in ROWS[:i]) for i in (first, last))
    pieces = batch.pixel_values.split(batch.image_grid_thw.prod(-1).tolist())
    return replace(
        batch,
        input_ids=batch.input_ids[first:last],
        attention_mask=batch.attention_mask[first:last],
        loss_mask=batch.loss_mask[first:last],
        token_weight=batch.token_weight[first:last],
        advantages=batch.advantages[first:last],
        image_grid_thw=batch.image_grid_thw[before:until],
        views=batch.views[before:until],
        pixel_values=torch.cat(pieces[before:until]),
    )


def test_a_group_in_two_micro_batches_teaches_the_same() -> None:
    shared, alone = both(freeze_vision_tower=False)
    batch = dialogs()
    expected = scored(alone, batch)
    found = [scored(shared, part(batch, *rows)) for rows in ((0, 2), (2, len(ROWS)))]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=0)
    assert relative(grads(shared.model), grads(alone.model)) < 1e-6


def test_one_alone_shares_nothing() -> None:
    assert_same(*both(), dialogs(rows=ROWS[1:2]))


def hooked(module: Any) -> list[Tensor]:
    seen: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


def test_what_is_shared_is_read_once() -> None:
    policy, _ = both(freeze_vision_tower=False)
    words = hooked(policy.model.get_submodule("model.language_model.layers.0.mlp"))
    patches = hooked(policy.model.get_submodule("model.visual.patch_embed"))
    batch = dialogs()
    scored(policy, batch)
    assert [x.shape[:2] for x in words] == [(1, sum(num for _, _, num in ROWS))]
    shown = {view.key: view.size.width * view.size.height // 14**2 for view in batch.views}
    assert [len(x) for x in patches] == [sum(shown.values())]


def test_other_pictures_are_not_shared() -> None:
    policy, _ = both()
    words = hooked(policy.model.get_submodule("model.language_model.layers.0.mlp"))
    batch = dialogs(rows=ROWS[:2])
    changed = (make_view(99, FIRST), *batch.views[1:])
    features = torch.randn(
        int((batch.input_ids == IMAGE).sum()), policy.feature_width
    )  # what is shown is the views' matter
    policy.response_logprobs(replace(batch, views=changed), features=features)
    assert words[0].shape[1] == batch.attention_mask.sum()


def lower_right(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> Tensor:
    """What FlashAttention says of its kernel, in PyTorch: [tokens, heads, dim]."""
    assert how["causal"]
    made = []
    ends = [pairwise(how[name].tolist()) for name in ("cu_seqlens_q", "cu_seqlens_k")]
    for of_q, of_k in zip(*ends, strict=True):
        one, keys, values = q[slice(*of_q)], k[slice(*of_k)], v[slice(*of_k)]
        assert len(one) <= how["max_seqlen_q"]
        assert len(keys) <= how["max_seqlen_k"]
        mask = torch.ones(len(one), len(keys)).tril(len(keys) - len(one)).bool()
        heads = [x.transpose(0, 1)[None] for x in (one, keys, values)]
        seen = torch.nn.functional.scaled_dot_product_attention(
            *heads, attn_mask=mask, scale=how["softmax_scale"], enable_gqa=True
        )
        made.append(seen[0].transpose(0, 1))
    return torch.cat(made)


@pytest.mark.parametrize(("sharing", "processes"), [(True, 1), (True, 2), (False, 2)])
def test_flash_attention_is_told_the_same(
    sharing: bool, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(
        q: Tensor, k: Tensor, v: Tensor, *, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor,
        max_seqlen_q: int, max_seqlen_k: int, softmax_scale: float, causal: bool,
    ) -> Tensor:  # fmt: skip
        return lower_right(q, k, v, **{k: v for k, v in locals().items() if k not in "qkv"})

    def imported(kind: str, *_: Any, **__: Any) -> tuple[Callable[..., Tensor], ...]:
        assert kind == "flash_attention_2"
        return kernel, kernel, kernel, kernel, kernel

    monkeypatch.setattr(flash, "_lazy_imports", imported)
    monkeypatch.setattr(flash, "_loaded_implementation", None)
    monkeypatch.setattr(shared_prefix, "flash_attn_supports_top_left_mask", lambda: False)
    policy, alone = make_policy(), make_policy()
    policy.model.config.get_text_config()._attn_implementation = "flash_attention_2"
    settings = {"packing": True, "shared_prefix": sharing, "context_parallel": processes}
    assert_same(Policy(policy.model, **settings), alone, dialogs())


def test_what_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"model.shared_prefix=true needs model.packing=true"):
        make_policy(shared_prefix=True)
    with pytest.raises(ConfigError, match=r"layers of Qwen3.5 "):
        make_policy("qwen3_5", packing=True, shared_prefix=True)
    policy = make_policy()
    policy.model.config.get_text_config()._attn_implementation = "flash_attention_2"
    monkeypatch.setattr(shared_prefix, "flash_attn_supports_top_left_mask", lambda: True)
    with pytest.raises(ConfigError, match=r"model.shared_prefix: this FlashAttention takes"):
        Policy(policy.model, packing=True, shared_prefix=True)


@given(rows=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=8))
@settings(deadline=None)
def test_every_sequence_is_found_again(rows: list[list[int]]) -> None:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefix, "LEAST_SHARED", 1)
        packing = SharedPacking.of(ids, mask, torch.full_like(ids, -1))
    row = packing.row(ids)
    assert row.shape[1] == len({tuple(one[: i + 1]) for one in rows for i in range(len(one))})
    spread = packing.batch(row[..., None].float() + 1)[..., 0]
    assert (spread == (ids + 1) * mask).all()
    seen = [one.flatten().tolist() for one in packing.reach.gather(row[:, None, :, None].float())]
    own = packing.is_own.any(-1)
    assert seen == [one for one, is_read in zip(rows, own.tolist(), strict=True) if is_read]
