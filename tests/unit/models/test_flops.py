"""The formula against what PyTorch counts of the passes themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.unit.models.small import FAMILIES, IMAGE, make_batch, make_policy, patch_of
from tests.unit.models.test_shared_prefix import dialogs
from vigorl.models.flops import count_products, load_of
from vigorl.models.lora import LoraSettings

# as many patches as a square window has, and others; no padding, which the formula leaves out
ROW = [(4, 4), (4, 8)]


def counted(family: str, **settings: Any) -> tuple[float, float, float, float]:
    """FLOPs of a forward pass and of an update, by PyTorch and by the formula."""
    policy = make_policy(family, **settings)
    policy.model.set_attn_implementation("eager")  # as products that are counted
    batch = make_batch(ROW, ROW, patch=patch_of(family))
    products = count_products(policy)
    load = load_of(batch, window=products.window)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        policy.response_logprobs(batch)
    with FlopCounterMode(display=False) as update:
        policy.response_logprobs(batch)[0].sum().backward()
    return (
        forward.get_total_flops(),
        products.text_forward(load) + products.tower_forward(load),
        update.get_total_flops(),
        products.text_update(load) + products.tower_update(load),
    )


@pytest.mark.parametrize("family", [one for one in FAMILIES if one != "qwen3_5"])
def test_a_pass_costs_what_is_counted(family: str) -> None:
    forward, by_formula, update, of_update = counted(family, freeze_vision_tower=False)
    assert by_formula == pytest.approx(forward, rel=0.02)
    assert of_update == pytest.approx(update, rel=0.02)


def test_linear_attention_costs_about_what_is_counted() -> None:
    """PyTorch's form of it pads these short sequences to chunks of 64."""
    forward, by_formula, update, of_update = counted("qwen3_5", freeze_vision_tower=False)
    assert 0.75 * forward < by_formula < forward
    assert 0.75 * update < of_update < update


def test_a_frozen_tower_has_no_backward_pass() -> None:
    forward, by_formula, update, of_update = counted("qwen2_5_vl")
    assert by_formula == pytest.approx(forward, rel=0.02)
    assert of_update == pytest.approx(update, rel=0.02)


def test_frozen_weights_beside_adapters_have_no_gradient() -> None:
    # the first layer's inputs need none either, which the formula leaves out: half of all layers
    _, _, update, of_update = counted("qwen2_5_vl", lora=LoraSettings(rank=2))
    assert update < of_update < 1.1 * update


def test_what_sequences_share_costs_once() -> None:
    policy, batch = make_policy(packing=True, shared_prefix=True), dialogs()
    products = count_products(policy)
    load = load_of(batch, window=products.window, reach=policy.sharing(batch).reach)
    features = torch.randn(int((batch.input_ids == IMAGE).sum()), policy.feature_width)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as update:
        policy.response_logprobs(batch, features=features)[0].sum().backward()
    assert products.text_update(load) == pytest.approx(update.get_total_flops(), rel=0.02)
    alone = load_of(batch, window=products.window)
    assert products.text_update(load) < 0.75 * products.text_update(alone)


def test_padding_costs_nothing_and_scored_tokens_the_head() -> None:
    policy = make_policy()
    products = count_products(policy)
    alone, beside = make_batch(ROW), make_batch([], ROW)
    loads = [load_of(batch, window=products.window) for batch in (alone, beside)]
    assert loads[1].tokens - loads[0].tokens == 5
    assert loads[0].scored == 6
    assert products.head.num == 97 * 64
