"""The arithmetic by hand, on numbers that make it easy; and what must hold of any plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vigorl.core.cost import Achieved, Bound, ModelCost, Workload, predict
from vigorl.core.devices import Device
from vigorl.core.flops import Load, ModelFlops, Weights

FLOPS = ModelFlops(
    layers=Weights(num=1000, num_trained=1000),
    head=Weights(num=100, num_trained=100),
    tower=Weights(num=50),
    merger=Weights(num=0),
    query_width=0,
    tower_width=0,
)
MODEL = ModelCost(
    flops=FLOPS, num_params=1200, num_trained=1100, layers=2, kv_bytes=10, engine_bytes=2,
    train_bytes=2,
)  # fmt: skip
WORK = Workload(
    prompts=2, group_size=4, turns=2, longest_turns=3, turn_tokens=10, longest_turn_tokens=20,
    longest_tokens=50, text_tokens=30, picture=Load(patches=80), crop=Load(patches=40),
    is_checkpointed=False, reads=1,
)  # fmt: skip
DEVICE = Device(name="made", flops=1e6, memory_bytes=0, memory_rate=1e5, link_rate=1e5)
WHOLE = Achieved(update=1.0, forward=1.0, memory=1.0, link=1.0, layer_s=0.0)


def seconds(work: Workload = WORK, **settings: object) -> dict[str, float]:
    said = {"num_devices": 1, "achieved": WHOLE} | settings
    found = predict(MODEL, work, DEVICE, **said)  # pyright: ignore[reportArgumentType]
    return {part.name: part.seconds for part in found.parts}


def test_each_part_by_hand() -> None:
    found = seconds(replace(WORK, tool_s=0.5, rollout_s=0.25))
    # a prompt is 30 + 80 / 4 = 50 tokens, read once a group; a crop 10, and each reading asks once
    assert found["read"] == pytest.approx(2 * (1000 * (2 * 50 + 8 * 10) + 100 * (2 + 8)) / 1e6)
    # engine and trainer: 2 pictures of 80 patches, 8 crops of 40
    assert found["see"] == pytest.approx(2 * 2 * 50 * (2 * 80 + 8 * 40) / 1e6)
    # the longest dialog's 50 steps read 1100 weights of 2 bytes; 8 rollouts of 20 tokens see
    # 50 + 10 + 20 / 2 = 70 on average, of 10 bytes each
    assert found["decode"] == pytest.approx((50 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)
    assert found["tools"] == 8 * 0.5
    # 50 + 10 + 20 tokens a sequence, 20 of them scored
    forward = 2 * 8 * (1000 * 80 + 100 * 20) / 1e6
    assert found["logprob"] == pytest.approx(forward)
    assert found["update"] == pytest.approx(3 * forward)
    assert found["optimizer"] == pytest.approx(28 * 1100 / 1e5)
    assert found["publish"] == pytest.approx(2 * 1200 * 2 / 1e5)
    assert found["other"] == 8 * 0.25


def test_a_turn_barrier_waits_for_the_longest_turn_of_each() -> None:
    decode = seconds(replace(WORK, has_turn_barrier=True))["decode"]
    assert decode == pytest.approx((3 * 20 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)


def test_more_rollouts_than_places_take_more_steps() -> None:
    decode = seconds(replace(WORK, max_in_flight=4))["decode"]  # 2 waves: 20 steps more
    assert decode == pytest.approx((70 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)


def test_what_is_shared_is_read_once() -> None:
    alone = seconds(replace(WORK, shares_prompts=False, keeps_features=False))
    shared = seconds(replace(WORK, shares_prefix=True))
    assert alone["read"] > 3 * shared["read"]
    assert alone["see"] > 2 * shared["see"]
    # 2 prompts of 50 and 8 continuations of 30, instead of 8 x 80
    products = 1000 * (2 * 50 + 8 * 30) + 100 * 8 * 20
    assert shared["logprob"] == pytest.approx(2 * products / 1e6)


def test_padding_and_a_head_everywhere_cost_what_they_read() -> None:
    found = seconds(replace(WORK, row_tokens=160, scores_all=True))
    assert found["logprob"] == pytest.approx(2 * 8 * 160 * 1100 / 1e6)


def test_devices_share_the_arithmetic_but_not_the_weights() -> None:
    one, four = seconds(), seconds(num_devices=4)
    assert four["update"] == pytest.approx(one["update"] / 4)
    assert four["publish"] == one["publish"]
    assert one["decode"] > four["decode"] > one["decode"] / 4


def test_links_bound_a_small_batch_under_zero3() -> None:
    slow = replace(DEVICE, link_rate=1e2)
    work = replace(WORK, zero_stage=3)
    parts = {p.name: p for p in predict(MODEL, work, slow, num_devices=2, achieved=WHOLE).parts}
    # gradients 2 x 1100 x 2 bytes; weights of 4 micro-batches, forward and backward
    assert parts["update"].bound is Bound.LINK
    assert parts["update"].seconds == pytest.approx(0.5 * (4400 + 2 * 4 * 1200 * 2) / 1e2)


def test_the_seconds_are_the_sum_and_the_longest_says_what_binds() -> None:
    found = predict(MODEL, WORK, DEVICE, num_devices=1, achieved=WHOLE)
    assert found.seconds == pytest.approx(sum(part.seconds for part in found.parts))
    assert found.longest.name == "update"
    assert found.longest.bound is Bound.FLOPS
    assert found.tokens == 8 * 80


def test_starting_kernels_can_be_all_of_a_small_model() -> None:
    slow = replace(WHOLE, layer_s=1.0)
    parts = {p.name: p for p in predict(MODEL, WORK, DEVICE, num_devices=1, achieved=slow).parts}
    assert parts["decode"].bound is Bound.STEPS
