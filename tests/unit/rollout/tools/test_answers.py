"""Tools that answer in words, and those that make new pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import scene, view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, Fill, ImageView, Region
from vigorl.core.protocols import ToolError
from vigorl.data.pictures import open_source
from vigorl.rollout.tools.flip import Flip
from vigorl.rollout.tools.measure_distance import MeasureDistance
from vigorl.rollout.tools.pick_colour import NAMED, PickColour, colour_name
from vigorl.rollout.tools.rotate import Rotate


@pytest.fixture
def image(tmp_path: Path) -> ImageView:
    """40 x 20: its left half red, its right half blue; shown at half its size."""
    picture = Image.new("RGB", (40, 20), (220, 20, 30))
    picture.paste((30, 60, 220), (20, 0, 40, 20))
    picture.save(tmp_path / "halves.png")
    return ImageView(FileImage(str(tmp_path / "halves.png")), Size(40, 20), Size(20, 10))


def test_distances_are_in_pixels_of_the_file() -> None:
    tool, crop = MeasureDistance(), view(box=Box(0, 0, 56, 56), size=Size(112, 112))
    whole = tool.call({"start": [10, 10], "end": [13, 14]}, scene=scene())
    assert whole.parts == (
        "The distance is 20.0 pixels of the full picture, which is 448 wide and 448 high.",
    )  # (3, 4) as shown is (12, 16) in the file
    near = tool.call({"start": [10, 10], "end": [34, 42], "picture": 1}, scene=scene(view(), crop))
    assert near == whole  # (24, 32) at twice the size


def test_the_colour_of_a_place(image: ImageView) -> None:
    tool = PickColour()
    found = tool.call({"point": [4, 5]}, scene=scene(image))
    assert found.parts == ("The colour there is (220, 20, 30), red.",)
    assert found.focus == Region(Point(8, 10))
    crop = replace(image, box=Box(20, 0, 40, 20), size=Size(20, 20))
    painted = scene(image.edited(Fill()), crop)
    assert tool.call({"point": [4, 5]}, scene=painted) == found  # not the colour of marks
    right = tool.call({"point": [0, 0], "picture": 1}, scene=painted)
    assert right.parts == ("The colour there is (30, 60, 220), blue.",)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((200, 200, 205), "grey"), ((250, 250, 250), "white"), ((90, 55, 20), "brown"),
     ((0, 110, 20), "green"), ((255, 170, 40), "orange")],
)  # fmt: skip
def test_colours_have_common_names(rgb: tuple[int, int, int], name: str) -> None:
    assert colour_name(rgb) == name
    assert all(colour_name(value) == known for known, value in NAMED.items())


def test_a_picture_is_turned_clockwise(image: ImageView, tmp_path: Path) -> None:
    tool = Rotate(folder=str(tmp_path / "made"))
    (turned,) = tool.call({"degrees": 90}, scene=scene(image)).views
    assert (turned.original, turned.size, turned.box) == (Size(20, 40), Size(10, 20), None)
    made = open_source(turned.source)
    assert made.getpixel((5, 5)) == (220, 20, 30)  # what was left is above
    assert made.getpixel((5, 35)) == (30, 60, 220)
    (back,) = tool.call({"degrees": -90, "picture": 1}, scene=scene(image, turned)).views
    assert open_source(back.source).tobytes() == open_source(image.source).tobytes()
    tool.call({"degrees": 450 - 360}, scene=scene(image))
    assert len(list((tmp_path / "made").iterdir())) == 2  # each content once


def test_angles(image: ImageView, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="must be a multiple of 90"):
        Rotate(folder=str(tmp_path)).call({"degrees": 45}, scene=scene(image))
    free = Rotate(folder=str(tmp_path), multiple_of=15)
    (turned,) = free.call({"degrees": 45}, scene=scene(image)).views
    assert turned.original.width > 40  # (40 + 20) / sqrt(2) = 42.4
    with pytest.raises(ConfigError, match=r"tools.rotate.multiple_of must be .*, got 0"):
        Rotate(folder="", multiple_of=0)


@pytest.mark.parametrize(("direction", "is_swapped"), [("horizontal", True), ("vertical", False)])
def test_a_crop_is_mirrored(
    image: ImageView, tmp_path: Path, direction: str, is_swapped: bool
) -> None:
    crop = replace(image, box=Box(10, 0, 30, 20), size=Size(40, 40))
    tool = Flip(folder=str(tmp_path / "made"))
    (flipped,) = tool.call({"direction": direction, "picture": 1}, scene=scene(image, crop)).views
    assert (flipped.original, flipped.size) == (Size(20, 20), Size(40, 40))
    left = open_source(flipped.source).getpixel((2, 2))
    assert left == ((30, 60, 220) if is_swapped else (220, 20, 30))
