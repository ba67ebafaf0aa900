"""Numbered elements, told and drawn."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from vigorl.core.geometry import Box, Point
from vigorl.evaluation.web.marks import draw_marks, kept, listed, read_elements

FOUND = [
    {"tag": "H1", "text": "Shop", "box": [0, 0, 100, 20], "at": None},
    {"tag": "LI", "text": "Cart", "box": [0, 20, 100, 40], "at": None},  # told by the link in it
    {"tag": "A", "text": "Cart", "box": [40, 60, 100, 80], "at": [70, 70]},
    {"tag": "P", "text": "Shop", "box": [0, 40, 100, 60], "at": None},
    {"tag": "P", "text": "", "box": [0, 40, 100, 60], "at": None},
    {"tag": "INPUT", "text": "", "box": [110, 60, 190, 80], "at": [150, 70]},
    {"tag": "P", "text": "a" * 300, "box": [0, 90, 100, 120], "at": None},
]


def test_numbers_are_for_what_can_be_used_and_no_text_is_told_twice():
    elements = read_elements(FOUND)
    assert listed(elements).splitlines() == [
        "[] [StaticText] [Shop]",
        "[1] [A] [Cart]",
        "[2] [INPUT] []",
        f"[] [StaticText] [{'a' * 200}]",
    ]
    assert elements[1].at == Point(70, 70)


def test_a_box_is_two_pixels_wide_and_its_number_stands_beside_it():
    page = io.BytesIO()
    Image.new("RGB", (200, 150), "white").save(page, "png")
    picture = Image.open(io.BytesIO(draw_marks(page.getvalue(), read_elements(FOUND))))
    blue, orange, white = (31, 119, 180), (255, 127, 14), (255, 255, 255)
    assert picture.size == (200, 150)
    row = [picture.getpixel((x, 70)) for x in (39, 40, 41, 42, 98, 99, 100, 101)]
    assert row == [white, blue, blue, white, white, blue, blue, white]
    assert picture.getpixel((30, 42)) == blue  # the label's corner, up and left of its box
    assert picture.getpixel((150, 61)) == orange
    assert Box(0, 0, 200, 150) not in [one.box for one in read_elements(FOUND)]


def test_numbers_do_not_cover_each_other():
    crowd = [
        {"tag": "A", "text": str(i), "box": [50, 50, 66, 60], "at": [58, 55]} for i in range(3)
    ]
    page = io.BytesIO()
    Image.new("RGB", (200, 150), "white").save(page, "png")
    picture = Image.open(io.BytesIO(draw_marks(page.getvalue(), read_elements(crowd))))
    colours = {colour for _, colour in picture.getcolors(30_000) or []}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours


def test_a_screenshot_is_kept_once(tmp_path: Path):
    first, again, other = (kept(one, tmp_path / "a") for one in (b"one", b"one", b"other"))
    assert first == again != other
    assert len(list((tmp_path / "a").iterdir())) == 2
