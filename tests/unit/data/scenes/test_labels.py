"""Labels by hand: 448 px pictures shown at 112 px, 28 px per token, so four columns of tokens."""

from __future__ import annotations

from dataclasses import replace

from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, TextFrame
from vigorl.data.scenes.draw import COLOURS, SHAPES, STRIPES, Sign
from vigorl.data.scenes.labels import CLASSES, IGNORE, NAMES, NOTHING, token_labels
from vigorl.families.sizing import grid_boxes

RED_DISC = Sign("red", "disc", "rising", Point(200, 80))  # (50, 20) in the view: row 0, column 1
BLUE_SQUARE = Sign("blue", "square", "vertical", Point(390, 250))  # (97.5, 62.5): row 2, column 3
WHOLE = ImageView(FileImage("a.png"), Size(448, 448), Size(112, 112))


def _crop(left: int, top: int, *, view_px: int = 112) -> ImageView:
    box = Box(left, top, left + 112, top + 112)
    return ImageView(FileImage("a.png"), Size(448, 448), Size(view_px, view_px), box)


def _labels(signs: list[Sign], view: ImageView, *, factor: int) -> dict[str, list[int]]:
    whole = Box(0, 0, view.size.width, view.size.height)
    return token_labels(signs, view, tokens=grid_boxes(whole, side_px=factor))


def _rest(labels: list[int], *places: int) -> set[int]:
    return {label for i, label in enumerate(labels) if i not in places}


def test_names_cover_all_signs() -> None:
    assert len(NAMES) == len(COLOURS) * len(SHAPES) == NOTHING == 12
    assert CLASSES["name"] == 13
    assert CLASSES["stripes"] == len(STRIPES)


def test_a_whole_picture_gives_names_and_places() -> None:
    labels = _labels([RED_DISC, BLUE_SQUARE], WHOLE, factor=28)
    assert {len(values) for values in labels.values()} == {16}
    assert labels["name"][0 * 4 + 1] == NAMES.index("red disc")
    assert labels["name"][2 * 4 + 3] == NAMES.index("blue square")
    assert _rest(labels["name"], 1, 11) == {NOTHING}
    assert (labels["x_tens"][1], labels["x_ones"][1]) == (5, 0)  # x = 50
    assert (labels["y_tens"][1], labels["y_ones"][1]) == (2, 0)  # y = 20
    # FrameMap.pixel rounds halves to even: 97.5 -> 98, 62.5 -> 62
    assert (labels["x_tens"][11], labels["x_ones"][11]) == (9, 8)
    assert (labels["y_tens"][11], labels["y_ones"][11]) == (6, 2)
    assert _rest(labels["x_ones"], 1, 11) == {IGNORE}


def test_in_thousandths_the_two_leading_digits_are_told() -> None:
    view = replace(WHOLE, size=Size(128, 128), frame=TextFrame.PERMILLE)
    labels = _labels([RED_DISC], view, factor=32)
    assert (labels["x_tens"][1], labels["x_ones"][1]) == (4, 4)  # x = 200 / 448 = 446 thousandths
    assert (labels["y_tens"][1], labels["y_ones"][1]) == (1, 7)  # y = 80 / 448 = 179


def test_a_whole_picture_tells_no_stripes() -> None:
    labels = _labels([RED_DISC, BLUE_SQUARE], WHOLE, factor=28)
    assert set(labels["stripes"]) == {IGNORE}


def test_a_crop_gives_names_and_stripes_but_no_places() -> None:
    # the disc is at (200 - 144, 80 - 24) = (56, 56) of the crop: row 2, column 2
    labels = _labels([RED_DISC, BLUE_SQUARE], _crop(144, 24), factor=28)
    assert labels["name"][10] == NAMES.index("red disc")
    assert labels["stripes"][10] == STRIPES.index("rising")
    assert _rest(labels["name"], 10) == {NOTHING}
    assert _rest(labels["stripes"], 10) == {IGNORE}
    for kind in ("x_tens", "x_ones", "y_tens", "y_ones"):
        assert set(labels[kind]) == {IGNORE}


def test_a_crop_that_is_shown_smaller_has_fewer_tokens() -> None:
    # (56, 56) of 112 is (28, 28) of 56: row 1, column 1 of two columns
    labels = _labels([RED_DISC], _crop(144, 24, view_px=56), factor=28)
    assert labels["name"] == [NOTHING, NOTHING, NOTHING, NAMES.index("red disc")]


def test_a_sign_whose_panel_is_cut_has_no_label() -> None:
    # the panel reaches from x = 186 to 214; these crops begin at 186 and at 187
    whole = _labels([RED_DISC], _crop(186, 24), factor=28)
    cut = _labels([RED_DISC], _crop(187, 24), factor=28)
    assert NAMES.index("red disc") in whole["name"]
    assert set(cut["name"]) == {NOTHING}
    assert set(cut["stripes"]) == {IGNORE}
