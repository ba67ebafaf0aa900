import math

import pytest

from tests.builders import view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Frame, Point, Size
from vigorl.core.protocols import Tool, ToolError
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

POINT = ZoomPoint(window_px=112, view_px=56)
BOX = ZoomBox(min_window_px=56, view_px=112)


def test_tools_satisfy_the_protocol() -> None:
    assert isinstance(POINT, Tool)
    assert isinstance(BOX, Tool)


@pytest.mark.parametrize(
    ("coordinate", "box"),
    [
        ([50, 20], Box(144, 24, 256, 136)),  # 1 RESIZED pixel = 4 ORIGINAL ones: centre (200, 80)
        ([0, 20], Box(0, 24, 112, 136)),  # shifted inside, not squashed
        ([111.5, 111.5], Box(336, 336, 448, 448)),
    ],
)
def test_zoom_point_cuts_the_original(coordinate: list[float], box: Box) -> None:
    result = POINT.call({"coordinate": coordinate}, image=view())
    assert result.view == view(box=box, size=Size(56, 56))
    assert result.point == Point(4 * coordinate[0], 4 * coordinate[1])
    assert result.shown == "Here is the crop of the image centered on the coordinate"


def test_a_picture_smaller_than_the_window_keeps_its_aspect() -> None:
    small = view(original=Size(200, 50), size=Size(200, 50))
    result = ZoomPoint(window_px=100, view_px=112).call({"coordinate": [10, 10]}, image=small)
    assert result.view.box == Box(0, 0, 100, 50)
    assert result.view.size == Size(112, 56)


def test_zoom_point_in_permille() -> None:
    tool = ZoomPoint(window_px=112, view_px=56, frame=Frame.PERMILLE)
    assert tool.call({"coordinate": [500, 250]}, image=view()).point == Point(224, 112)
    assert tool.render_arguments(Point(224, 112), image=view()) == {"coordinate": [500, 250]}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, 'The tool call has no "coordinate" argument.'),
        ({"coordinate": "50, 20"}, 'The "coordinate" argument must be a list of 2 numbers.'),
        ({"coordinate": [50]}, 'The "coordinate" argument must be a list of 2 numbers.'),
        ({"coordinate": [True, 2]}, 'The "coordinate" argument must be a list of 2 numbers.'),
        ({"coordinate": [math.nan, 2]}, 'The "coordinate" argument must be a list of 2 numbers.'),
        ({"coordinate": [10**400, 2]}, 'The "coordinate" argument must be a list of 2 numbers.'),
        ({"coordinate": [112, 20]}, "The point (112, 20) is outside the image, which is 112 wide"),
        ({"coordinate": [-1, 20]}, "The point (-1, 20) is outside the image"),
    ],
)
def test_zoom_point_refuses(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ToolError) as error:
        POINT.call(arguments, image=view())
    assert str(error.value).startswith(sentence)


def test_a_point_a_hair_inside_is_refused_or_shown_never_a_crash() -> None:
    with pytest.raises(ToolError):
        POINT.call({"coordinate": [math.nextafter(112, 0), 5]}, image=view())


def test_zoom_point_arguments_look_where_they_should() -> None:
    target = Point(333, 77)
    found = POINT.call(POINT.render_arguments(target, image=view()), image=view())
    assert found.point.distance(target) <= 4 * math.sqrt(2) / 2


def test_zoom_box_keeps_the_aspect_of_the_box() -> None:
    result = BOX.call({"bbox": [10, 10, 50, 30]}, image=view())
    assert result.view.box == Box(40, 40, 200, 120)
    assert result.view.size == Size(112, 56)
    assert result.point == Point(120, 80)


def test_zoom_box_grows_a_tiny_box() -> None:
    assert BOX.call({"bbox": [0, 0, 1, 1]}, image=view()).view.box == Box(0, 0, 56, 56)


@pytest.mark.parametrize(
    "bbox", [[5, 5, 5, 9], [9, 0, 5, 5], [0, 0, 113, 5], [-1, 0, 5, 5], [0, 0]]
)
def test_zoom_box_refuses(bbox: list[float]) -> None:
    with pytest.raises(ToolError):
        BOX.call({"bbox": bbox}, image=view())


def test_zoom_box_arguments_cover_the_target() -> None:
    arguments = BOX.render_arguments(Point(447, 3), image=view())
    box = BOX.call(arguments, image=view()).view.box
    assert box is not None
    assert box.contains(Point(447, 3))


def test_a_view_that_the_processor_would_round_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"view_px=512 is not a multiple of 28.* nearest is 504"):
        ZoomPoint(window_px=200, view_px=512)
