"""A size that is shown is one that an engine, which sizes once more, leaves as it is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from vigorl.core.geometry import Size
from vigorl.families.family import TinySettings
from vigorl.families.glm_v import GLM41V, GLMSizing
from vigorl.families.sizing import PatchSizing

TINY = PatchSizing(14, 2, 56 * 56, 112 * 112)
GLM = GLMSizing(14, 2, 56 * 56, 112 * 112)
FULL = PatchSizing(14, 2, 56 * 56, 28 * 28 * 1280)


def test_a_banner_is_as_large_as_an_engine_shows_it() -> None:
    """Once: floor(4000 / 5.65 / 28) = 25 tokens; that is 25 x 28 x 28 > 112 x 112, so 16 fit."""
    assert TINY.fit(Size(4000, 100)) == Size(16 * 28, 28)
    assert TINY.num_tokens(TINY.fit(Size(4000, 100))) == 16


def test_a_glm_scales_a_picture_up_whose_short_side_is_less_than_a_token() -> None:
    assert FULL.fit(Size(800, 10)) == Size(18 * 28, 28)
    wide = replace(GLM, max_pixels=28 * 28 * 1280)
    assert wide.fit(Size(800, 10)) == Size(80 * 28, 28)


def test_a_glms_processor_counts_a_still_twice() -> None:
    processor = GLM41V().tiny_processor(TinySettings(max_pixels=12545))
    assert processor.size["longest_edge"] == 2 * 12545
    assert GLM41V().sizing(processor) == replace(GLM, max_pixels=12545)


@pytest.mark.parametrize("sizing", [TINY, FULL, GLM])
def test_what_is_shown_stays_for_any_picture(sizing: PatchSizing) -> None:
    rng = random.Random(0)
    for _ in range(2000):
        short, ratio = rng.randint(1, 300), rng.choice((1, 1.3, 3, 10, 40, 100, 190))
        sides = [short, max(int(short * ratio), 1)]
        rng.shuffle(sides)
        try:
            shown = sizing.fit(Size(*sides))
        except ValueError as error:
            assert "200" in str(error)  # noqa: PT017  only what no engine would show
            assert ratio == 190
            continue
        assert sizing.fit(shown) == shown
        assert sizing.fit_view(shown) == shown


def test_limits_that_no_size_keeps_are_refused() -> None:
    same = PatchSizing(14, 2, 112 * 112, 112 * 112)
    assert same.fit(Size(448, 448)) == Size(112, 112)
    with pytest.raises(ValueError, match=r"300x100 has no size between pixels\.min_pixels=12544"):
        same.fit(Size(300, 100))
