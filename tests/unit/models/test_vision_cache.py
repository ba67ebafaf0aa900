from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import (
    FAMILIES,
    make_batch,
    make_pixels,
    make_policy,
    make_view,
    patch_of,
)
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.media import ImageView
from vigorl.models.policy import Policy
from vigorl.models.vision_cache import VisionCache

A, B, C = make_view(0, (4, 4)), make_view(1, (2, 4)), make_view(2, (4, 2))  # 16, 8, 8 patches


class Pixels:
    """Pixels of views, and the views that were asked for, call by call."""

    def __init__(self, patch: int = 14) -> None:
        self.patch, self.asked = patch, []

    def __call__(self, views: Sequence[ImageView]) -> tuple[Tensor, Tensor]:
        self.asked.append(tuple(views))
        grids = [[1, view.size.height // 14, view.size.width // 14] for view in views]
        return torch.cat([make_pixels(v, patch=self.patch) for v in views]), torch.tensor(grids)


def count_calls(policy: Policy) -> list[int]:
    calls: list[int] = []
    policy.model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("family", FAMILIES)
def test_features_equal_the_direct_ones(family: str) -> None:
    policy, pixels = make_policy(family), Pixels(patch_of(family))
    batch = make_batch([(4, 4), (2, 4)], [(4, 2)], patch=pixels.patch)
    assert batch.views == (A, B, C)
    assert batch.pixel_values is not None
    direct = torch.cat(policy.encode_views(batch.pixel_values, batch.image_grid_thw))
    cache = VisionCache(policy)
    first, second = cache.get(batch.views, pixels), cache.get(batch.views, pixels)
    torch.testing.assert_close(first, direct, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(second, first, atol=0, rtol=0)
    assert not first.requires_grad
    reversed_order = cache.get((C, A), pixels)
    torch.testing.assert_close(reversed_order, torch.cat([first[6:], first[:4]]), atol=0, rtol=0)


def test_one_call_for_what_is_missing_and_none_for_the_rest() -> None:
    policy, pixels = make_policy(), Pixels()
    calls, cache = count_calls(policy), VisionCache(policy)
    cache.get((A, B, A), pixels)
    cache.get((B, C), pixels)
    cache.get((A, B, C), pixels)
    assert pixels.asked == [(A, B), (C,)]
    assert len(calls) == 2
    cache.clear()
    cache.get((A,), pixels)
    assert pixels.asked[-1] == (A,)


def test_another_box_of_the_same_file_is_another_view() -> None:
    crop = replace(A, box=Box(0, 0, 28, 28))
    cache, pixels = VisionCache(make_policy()), Pixels()
    cache.get((A, crop), pixels)
    assert pixels.asked == [(A, crop)]


def test_a_full_cache_forgets_what_was_used_longest_ago_and_still_answers() -> None:
    policy, pixels = make_policy(), Pixels()
    whole = VisionCache(make_policy()).get((A, B, C), Pixels())  # 4 + 2 + 2 tokens of 64 floats
    cache = VisionCache(policy, max_bytes=6 * 64 * 4)
    for views in ((A,), (B,), (A,), (C,), (A,)):  # B has to go for C
        cache.get(views, pixels)
    assert pixels.asked == [(A,), (B,), (C,)]
    torch.testing.assert_close(cache.get((A, B, C), pixels), whole, atol=1e-6, rtol=1e-5)
    assert pixels.asked[-1] == (B,)
    tiny = VisionCache(policy, max_bytes=1)  # keeps nothing
    for _ in range(2):
        torch.testing.assert_close(tiny.get((A, B, C), pixels), whole, atol=1e-6, rtol=1e-5)
        assert pixels.asked[-1] == (A, B, C)


def test_always_call_runs_the_tower_when_nothing_is_missing() -> None:
    policy, pixels = make_policy(), Pixels()
    calls, cache = count_calls(policy), VisionCache(policy, always_call=True)
    for views in ((A,), (A,), ()):
        features = cache.get(views, pixels)
    assert len(calls) == 3
    assert pixels.asked == [(A,)]
    assert features.shape == (0, 64)


def test_a_learning_tower_or_merger_cannot_be_cached() -> None:
    for settings in ({"freeze_vision_tower": False}, {"freeze_merger": False}):
        with pytest.raises(ConfigError, match="freeze_vision_tower=true"):
            VisionCache(make_policy(**settings))
    with pytest.raises(ConfigError, match="max_bytes"):
        VisionCache(make_policy(), max_bytes=0)


def test_what_another_tower_has_said_is_not_asked_again() -> None:
    policy, pixels = make_policy(), Pixels()
    calls, cache = count_calls(policy), VisionCache(policy)
    with torch.inference_mode():
        features = policy.encode_views(*pixels((A, B)))
    cache.adopt([A.key, B.key, C.key], dict(zip([A.key, B.key], features, strict=True)))
    found = cache.get((B, A), pixels)
    assert len(calls) == 1
    assert torch.equal(found, torch.cat(features[::-1]))
    weight = torch.ones(64, requires_grad=True)
    (found @ weight).sum().backward()  # an inference tensor cannot be saved for this
    assert weight.grad is not None


def test_who_only_looks_leaves_no_features_behind() -> None:
    policy, pixels = make_policy(FAMILIES[0]), Pixels(patch_of(FAMILIES[0]))
    cache = VisionCache(policy)
    cache.get((A,), pixels)
    with cache.aside():
        cache.get((A, B), pixels)
    cache.get((A,), pixels)
    cache.get((B,), pixels)
    assert pixels.asked == [(A,), (A, B), (B,)]
