import math

import pytest

from tests.builders import scene, task, view
from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import GREY, Fill, Region, TextFrame
from vigorl.core.protocols import Looking, Tool, ToolError
from vigorl.core.rollout import Rollout
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn
from vigorl.rollout.tools.blind import BlindTool
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

POINT = ZoomPoint(window_px=112, view_px=56)
BOX = ZoomBox(min_window_px=56, view_px=112)


def test_tools_satisfy_the_protocol() -> None:
    for tool in (POINT, BOX):
        assert isinstance(tool, Looking)
        assert isinstance(tool, Tool)
        assert tool.open(task()).fork() is tool  # it remembers nothing


@pytest.mark.parametrize(
    ("coordinate", "box"),
    [
        ([50, 20], Box(144, 24, 256, 136)),  # 1 RESIZED pixel = 4 ORIGINAL ones: centre (200, 80)
        ([0, 20], Box(0, 24, 112, 136)),  # shifted inside, not squashed
        ([111.5, 111.5], Box(336, 336, 448, 448)),
    ],
)
def test_zoom_point_cuts_the_original(coordinate: list[float], box: Box) -> None:
    result = POINT.call({"coordinate": coordinate}, scene=scene())
    text, crop = result.parts
    assert text == "Here is the crop of the image centered on the coordinate:\n"
    assert crop == view(box=box, size=Size(56, 56))
    assert result.focus == Region(Point(4 * coordinate[0], 4 * coordinate[1]), box)
    assert not result.is_done


def test_a_picture_smaller_than_the_window_keeps_its_aspect() -> None:
    small = view(original=Size(200, 50), size=Size(200, 50))
    result = ZoomPoint(window_px=100, view_px=112).call(
        {"coordinate": [10, 10]}, scene=scene(small)
    )
    assert result.views[0].box == Box(0, 0, 100, 50)
    assert result.views[0].size == Size(112, 56)


@pytest.mark.parametrize(
    ("frame", "coordinate", "bbox"),
    [
        (TextFrame.PIXELS, [56, 28], [49, 21, 63, 35]),  # 4 ORIGINAL pixels each
        (TextFrame.PERMILLE, [500, 250], [437, 187, 563, 313]),  # 196 / 0.448 = 437.5
        (TextFrame.UNIT, [0.5, 0.25], [0.437, 0.187, 0.563, 0.313]),
    ],
)
def test_calls_are_written_and_read_in_the_frame_of_the_picture(
    frame: TextFrame, coordinate: list[float], bbox: list[float]
) -> None:
    image, target = view().in_frame(frame), Point(224, 112)
    assert POINT.arguments_at(target, image=image) == {"coordinate": coordinate}
    assert BOX.arguments_at(target, image=image) == {"bbox": bbox}
    look = POINT.call({"coordinate": coordinate}, scene=scene(image))
    assert look.focus == Region(target, Box(168, 56, 280, 168))
    assert look.views[0].frame is frame
    focus = BOX.call({"bbox": bbox}, scene=scene(image)).focus
    assert focus is not None
    assert focus.point.distance(target) < 1


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
        POINT.call(arguments, scene=scene())
    assert str(error.value).startswith(sentence)


def test_a_point_a_hair_inside_is_refused_or_shown_never_a_crash() -> None:
    with pytest.raises(ToolError):
        POINT.call({"coordinate": [math.nextafter(112, 0), 5]}, scene=scene())


def test_zoom_point_arguments_look_where_they_should() -> None:
    target = Point(333, 77)
    found = POINT.call(POINT.arguments_at(target, image=view()), scene=scene())
    assert found.focus is not None
    assert found.focus.point.distance(target) <= 4 * math.sqrt(2) / 2


def test_zoom_box_keeps_the_aspect_of_the_box() -> None:
    result = BOX.call({"bbox": [10, 10, 50, 30]}, scene=scene())
    assert result.views[0].box == Box(40, 40, 200, 120)
    assert result.views[0].size == Size(112, 56)
    assert result.focus == Region(Point(120, 80), Box(40, 40, 200, 120))


def test_zoom_box_grows_a_tiny_box() -> None:
    assert BOX.call({"bbox": [0, 0, 1, 1]}, scene=scene()).views[0].box == Box(0, 0, 56, 56)


@pytest.mark.parametrize(
    "bbox", [[5, 5, 5, 9], [9, 0, 5, 5], [0, 0, 113, 5], [-1, 0, 5, 5], [0, 0]]
)
def test_zoom_box_refuses(bbox: list[float]) -> None:
    with pytest.raises(ToolError):
        BOX.call({"bbox": bbox}, scene=scene())


def test_zoom_box_arguments_cover_the_target() -> None:
    arguments = BOX.arguments_at(Point(447, 3), image=view())
    box = BOX.call(arguments, scene=scene()).views[0].box
    assert box is not None
    assert box.contains(Point(447, 3))


def test_a_window_of_nothing_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="window_px=0"):
        ZoomPoint(window_px=0, view_px=512)


def test_a_blind_tool_looks_the_same_way_and_shows_grey(world: World) -> None:
    def rollout_with(tool: Tool) -> Rollout:
        environment = world.environment(tools=[tool], temperature=0.0)
        dialogs = build_dialogs(environment, [world.task()], group_size=1, phase="p", run_seed=0)
        engine = ScriptedEngine(by_turn([ZOOM, ANSWER]), world.codec)
        return collect(engine, dialogs, phase="p").rollouts[0]

    seeing, blind = rollout_with(world.zoom()), rollout_with(BlindTool(world.zoom()))
    crop = world.images.image(blind.crops[0])
    assert crop.getextrema() == tuple((value, value) for value in GREY)
    assert world.images.image(seeing.crops[0]).getextrema() != crop.getextrema()
    assert blind.crops[0] == seeing.crops[0].edited(Fill(rgb=GREY))
    assert (blind.token_ids, blind.looks) == (seeing.token_ids, seeing.looks)
