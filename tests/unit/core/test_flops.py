from __future__ import annotations

import pytest

from vigorl.core.devices import DEVICES, device_named
from vigorl.core.flops import Load, ModelFlops, Weights, picture_load, text_load

MODEL = ModelFlops(
    layers=Weights(num=100, num_trained=100),
    head=Weights(num=50, num_trained=50),
    tower=Weights(num=40, num_first=10),
    merger=Weights(num=8),
    query_width=6,
    tower_width=2,
    window_width=3,
    window=4,
)


def test_a_text_costs_its_weights_its_scored_tokens_and_its_pairs() -> None:
    load = text_load([3, 5], scored=2)
    assert (load.tokens, load.pairs) == (8, 9 + 25)
    products, pairs = 100 * 8 + 50 * 2, 6 * (9 + 25)
    assert MODEL.text_forward(load) == 2 * products + 4 * pairs
    assert MODEL.text_update(load) == 3 * MODEL.text_forward(load)


def test_frozen_weights_have_gradients_of_activations_alone() -> None:
    weights = Weights(num=100, num_trained=1)
    assert weights.num_in_update == 100 + 100 + 1


def test_windows_are_counted_as_they_are_cut() -> None:
    # 6 x 5 patches in windows of 4: 4x4, 4x1, 2x4, 2x1
    load = picture_load([(1, 6, 5)], window=4)
    assert (load.patches, load.patch_pairs) == (30, 900)
    assert load.window_pairs == 16**2 + 4**2 + 8**2 + 2**2
    assert picture_load([(2, 6, 5)], window=0) == Load(patches=60, patch_pairs=1800)


def test_a_frozen_tower_costs_a_forward_pass() -> None:
    load = picture_load([(1, 4, 4)], window=4)
    products = 40 * 16 + 8 * 16 / 4
    assert MODEL.tower_update(load) == 2 * products + 4 * (2 + 3) * 256


def test_loads_add_up() -> None:
    one, other = text_load([3], scored=1), picture_load([(1, 4, 4)], window=4)
    assert (one + other).tokens == 3
    assert (one + other).patches == 16
    assert (other * 3).patches == 3 * 16


@pytest.mark.parametrize(
    ("cuda_name", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie"),
    ],
)
def test_a_device_is_found_by_the_name_that_cuda_gives_it(cuda_name: str, name: str) -> None:
    found = device_named(cuda_name)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "cuda_name", ["NVIDIA GH200 480GB", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Tesla T4"]
)
def test_an_unknown_device_is_none(cuda_name: str) -> None:
    assert device_named(cuda_name) is None


def test_every_device_has_a_name_of_its_own_and_a_source() -> None:
    assert len({one.name for one in DEVICES}) == len(DEVICES)
    assert all(one.source and one.memory_rate < one.flops for one in DEVICES)
