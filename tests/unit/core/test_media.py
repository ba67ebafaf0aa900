from dataclasses import replace

import pytest

from tests.builders import view
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import (
    GREY,
    Dot,
    Edited,
    FileImage,
    Fill,
    ImageView,
    Stored,
    TextFrame,
    VideoFrame,
)

WIDE = ImageView(FileImage("wide.png"), Size(900, 300), Size(896, 288))


@pytest.mark.parametrize(
    ("frame", "written", "last"),
    [
        # 900 x 300 shown at 896 x 288: 450 -> 448, 75 -> 72
        (TextFrame.PIXELS, Point(448, 72), Point(895, 287)),
        (TextFrame.PERMILLE, Point(500, 250), Point(999, 997)),  # 299 / 0.3 = 996.7
        (TextFrame.UNIT, Point(0.5, 0.25), Point(0.999, 0.997)),
    ],
)
def test_places_are_written_and_read_in_the_frame(
    frame: TextFrame, written: Point, last: Point
) -> None:
    image = WIDE.in_frame(frame)
    assert image.to_text(Point(450, 75)) == written
    assert image.to_original(written) == Point(450, 75)
    assert image.to_text(Point(899, 299)) == last
    assert image.holds(last)
    assert not image.holds(Point(image.text_size.width, 0))


def test_a_part_has_coordinates_of_its_own() -> None:
    crop = view(box=Box(144, 24, 256, 136), size=Size(56, 56))  # 112 px shown at 56
    assert crop.to_original(Point(28, 14)) == Point(200, 52)  # 144 + 2 * 28, 24 + 2 * 14
    assert crop.to_text(Point(200, 52)) == Point(28, 14)
    assert crop.box_to_original(Box(0, 0, 56, 28)) == Box(144, 24, 256, 80)
    assert crop.in_frame(TextFrame.PERMILLE).to_original(Point(500, 250)) == Point(200, 52)


def test_boxes_are_written_outwards() -> None:
    box = Box(41, 40, 78, 83)
    assert view().box_to_text(box) == (10, 10, 20, 21)  # / 4: 10.25, 10, 19.5, 20.75
    unit = view().in_frame(TextFrame.UNIT)
    assert unit.box_to_text(box) == (
        0.091,
        0.089,
        0.175,
        0.186,
    )  # / 0.448: 91.5, 89.3, 174.1, 185.3
    crop = view(box=Box(40, 40, 152, 152), size=Size(56, 56))
    assert crop.box_to_text(box) == (0, 0, 19, 22)  # (x - 40) / 2: 0.5, 0, 19, 21.5


def test_what_shows_other_pixels_has_another_key() -> None:
    views = [
        view(),
        view(size=Size(56, 56)),
        view(box=Box(0, 0, 56, 56)),
        view().edited(Fill(rgb=GREY)),
        view().edited(Fill(Box(0, 0, 9, 9))),
        view().edited(Dot(Point(3, 3))),
        replace(view(), source=VideoFrame("disc.png", 0.5)),
        replace(view(), source=VideoFrame("disc.png", 1.5)),
        replace(view(), source=Stored("ab12", "disc.png")),
    ]
    assert len({one.key for one in views}) == len(views)
    assert view().key == view().in_frame(TextFrame.UNIT).key  # the same pixels, spoken of otherwise
    assert {one.path for one in views} == {"disc.png"}


def test_marks_add_up() -> None:
    twice = view().edited(Fill()).edited(Dot(Point(1, 2)))
    assert twice.source == Edited(FileImage("disc.png"), (Fill(), Dot(Point(1, 2))))
