"""The scene is what its settings say, and stripes leave no trace in blocks of their period."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import FrameMap, Size
from vigorl.data.scenes.draw import (
    COLOURS,
    GRAIN,
    REACH_PX,
    SHAPES,
    STRIPE_PERIOD_PX,
    STRIPES,
    Scene,
    SceneSettings,
    clean_panel,
    draw_scene,
    scene_size,
)

SETTINGS = SceneSettings()
PANELS = list(itertools.product(STRIPES, range(STRIPE_PERIOD_PX)))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(SETTINGS, seed=seed) for seed in range(60)]


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int64)


def test_a_seed_gives_the_same_pixels_and_signs(scenes: list[Scene]) -> None:
    again = draw_scene(SETTINGS, seed=3)
    assert again.signs == scenes[3].signs
    assert again.image.tobytes() == scenes[3].image.tobytes()


def test_another_seed_gives_another_scene(scenes: list[Scene]) -> None:
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)
    assert len({scene.signs for scene in scenes}) == len(scenes)


def test_the_picture_has_the_size_of_the_settings(scenes: list[Scene]) -> None:
    assert all(scene.image.size == (448, 448) for scene in scenes)
    assert scene_size(SETTINGS) == Size(448, 448)
    assert all(scene.image.mode == "RGB" for scene in scenes)


def test_signs_stay_inside_the_margins_and_apart(scenes: list[Scene]) -> None:
    for scene in scenes:
        for sign in scene.signs:
            assert 44 <= sign.center.x < 448 - 44 - 6
            assert 44 <= sign.center.y < 448 - 44 - 6
        for one, other in itertools.combinations(scene.signs, 2):
            assert one.center.distance(other.center) >= 3 * REACH_PX


def test_the_asked_sign_has_a_twin_of_the_other_shape_nearby(scenes: list[Scene]) -> None:
    near, far = SETTINGS.near_miss_px
    for scene in scenes:
        asked, twin = scene.signs[:2]
        assert asked.colour == twin.colour
        assert {asked.shape, twin.shape} == set(SHAPES)
        # the twin's place is rounded to pixels: half a pixel on each axis, 0.71 in all
        assert near - 0.71 <= asked.center.distance(twin.center) <= far + 0.71


def test_no_other_sign_has_the_colour_of_the_twins(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert all(sign.colour != scene.signs[0].colour for sign in scene.signs[2:])
        assert len({sign.name for sign in scene.signs}) == SETTINGS.num_signs


def test_without_a_near_miss_no_sign_shares_the_colour_of_the_asked_one() -> None:
    for seed in range(20):
        first, *others = draw_scene(SceneSettings(has_near_miss=False), seed=seed).signs
        assert all(sign.colour != first.colour for sign in others)
        assert len(others) == 4


def test_coordinates_have_two_digits_in_the_112_px_view(scenes: list[Scene]) -> None:
    to_view = FrameMap(Size(448, 448), Size(112, 112))
    for scene in scenes:
        for sign in scene.signs:
            pixel = to_view.pixel(sign.center)
            assert 10 <= pixel.x <= 99
            assert 10 <= pixel.y <= 99


def test_a_panel_stands_on_the_picture_exactly_where_it_says(scenes: list[Scene]) -> None:
    for scene in scenes[:10]:
        for sign in scene.signs:
            shown = _pixels(scene.image.crop(tuple(int(v) for v in sign.panel.as_tuple())))
            grain = [
                np.abs(shown[..., 0] - clean_panel(sign.stripes, phase)).mean()
                for phase in range(STRIPE_PERIOD_PX)
            ]
            assert min(grain) < GRAIN  # mean of |normal| is 0.8 sigma; no stroke crosses it


def test_colours_shapes_and_stripes_all_occur() -> None:
    signs = [s for seed in range(200) for s in draw_scene(SETTINGS, seed=seed).signs]
    assert {sign.colour for sign in signs} == set(COLOURS)
    assert {sign.shape for sign in signs} == set(SHAPES)
    for stripes in STRIPES:  # 1000 signs: 250 +- 3.6 standard deviations of 13.7
        assert abs(sum(sign.stripes == stripes for sign in signs) - 250) < 50


@pytest.mark.parametrize("offset", [(0, 0), (1, 0), (2, 3), (3, 1)])
def test_a_quarter_of_the_side_leaves_less_of_the_stripes_than_the_grain(
    offset: tuple[int, int],
) -> None:
    """Through the processor's own filter (bicubic), wherever the panel stands in the 4 px grid."""
    shown = []
    for stripes, phase in PANELS:
        ground = Image.new("L", (64, 64), 128)
        panel = Image.fromarray(clean_panel(stripes, phase).round().astype(np.uint8))
        ground.paste(panel, (16 + offset[0], 16 + offset[1]))
        shown.append(np.asarray(ground.resize((16, 16), Image.Resampling.BICUBIC), dtype=float))
    spread = np.ptp(np.stack(shown), axis=0).max()
    assert spread <= GRAIN / 2  # grey levels; at full size stripes differ by 160


def test_panels_of_all_kinds_differ_at_full_size() -> None:
    panels = [clean_panel(stripes, phase) for stripes, phase in PANELS]
    for one, other in combinations(panels, 2):
        assert np.abs(one - other).mean() > GRAIN


@pytest.mark.parametrize("stripes", STRIPES)
def test_stripes_run_the_way_they_are_called(stripes: str) -> None:
    panel = clean_panel(stripes, 0) > 128
    along = {  # from a pixel to its neighbour along the stripe
        "vertical": (panel[:-1], panel[1:]),
        "horizontal": (panel[:, :-1], panel[:, 1:]),
        "rising": (panel[1:, :-1], panel[:-1, 1:]),
        "falling": (panel[:-1, :-1], panel[1:, 1:]),
    }
    same = {kind for kind, (one, other) in along.items() if (one == other).all()}
    assert same == {stripes}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_signs": 1}, "num_signs"),
        ({"num_signs": 13}, "num_signs"),
        ({"near_miss_px": (60.0, 100.0)}, "near_miss_px"),
        ({"side_px": 200}, "side_px"),
    ],
)
def test_settings_that_cannot_be_drawn_name_their_key(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SceneSettings(**settings)


def test_signs_that_do_not_fit_are_an_error_not_an_endless_search() -> None:
    # the field is 520 - 2 * 44 - 6 = 426 px wide: no twin 700 px away stands on it
    settings = SceneSettings(num_signs=12, side_px=520, margin_px=44)
    crowded = SceneSettings(num_signs=12, side_px=520, margin_px=44, near_miss_px=(700.0, 800.0))
    assert len(draw_scene(settings, seed=0).signs) == 12
    with pytest.raises(ConfigError, match="do not fit"):
        draw_scene(crowded, seed=0)


@pytest.fixture(scope="module")
def real_photographs(photographs: list[str]) -> list[Image.Image]:
    return [Image.open(path) for path in photographs]


def test_a_scene_on_photographs_has_the_signs_of_its_settings(
    real_photographs: list[Image.Image],
) -> None:
    for seed in range(5):
        scene = draw_scene(SETTINGS, seed=seed, photographs=real_photographs)
        assert scene.image.size == (448, 448)
        assert len(scene.signs) == 5
        sign = scene.signs[0]
        x, y = int(sign.center.x), int(sign.center.y)
        # between panel (14 px) and rim (20 px): the sign's colour, or a grey stroke over it
        ring = [
            scene.image.getpixel((x + dx, y + dy))
            for across in (-4, 0, 4)
            for dx, dy in ((17, across), (-17, across), (across, 17), (across, -17))
        ]
        assert ring.count(COLOURS[sign.colour]) >= 6


def test_photographs_leave_the_same_seed_the_same(real_photographs: list[Image.Image]) -> None:
    draw: Callable[[], bytes] = lambda: (  # noqa: E731
        draw_scene(SETTINGS, seed=1, photographs=real_photographs).image.tobytes()
    )
    assert draw() == draw()
    assert draw() != draw_scene(SETTINGS, seed=1).image.tobytes()
