"""The options of a zoom at a box; 1 pixel as shown = 4 ORIGINAL ones on the first picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import scene, view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, Region
from vigorl.core.protocols import ToolError
from vigorl.rollout.tools.zoom_box import ZoomBox

CROP = view(box=Box(200, 40, 312, 152), size=Size(56, 56))  # 1 pixel as shown = 2 ORIGINAL ones


def zoom(**settings: Any) -> ZoomBox:
    return ZoomBox(**({"min_window_px": 8, "view_px": None} | settings))


@pytest.mark.parametrize(
    ("settings", "bbox", "box"),
    [
        ({}, [10, 10, 30, 20], Box(40, 40, 120, 80)),
        ({"grow": 1.5}, [10, 10, 30, 20], Box(20, 30, 140, 90)),  # 80 x 40 is 120 x 60
        ({"grow": 2.0}, [0, 10, 20, 20], Box(0, 20, 120, 100)),  # clipped at the left
        ({"pad_frac": 0.125}, [20, 20, 40, 40], Box(24, 24, 216, 216)),  # 56 = 448 / 8
        ({"pad_frac": 0.125}, [100, 0, 112, 12], Box(344, 0, 448, 104)),
        ({"min_window_px": 56}, [0, 0, 1, 1], Box(0, 0, 56, 56)),
    ],
)
def test_the_box_that_is_cut(settings: dict[str, Any], bbox: list[int], box: Box) -> None:
    (shown,) = zoom(**settings).call({"bbox": bbox}, scene=scene()).views
    assert shown.box == box


@pytest.mark.parametrize(
    ("bbox", "times"),
    [
        ([0, 0, 28, 28], 2.0),  # 1/16 of the picture
        ([0, 0, 56, 28], 2.0),  # 1/8
        ([0, 0, 70, 56], 1.5),  # 5/16: half of the way from 1/8 to 1/2
        ([0, 0, 112, 56], 1.0),  # 1/2
        ([0, 0, 112, 112], 1.0),
    ],
)
def test_small_parts_are_enlarged(bbox: list[int], times: float) -> None:
    tool = zoom(enlarge=2.0, small_share=0.125, large_share=0.5)
    (shown,) = tool.call({"bbox": bbox}, scene=scene()).views
    assert shown.box is not None
    width, height = shown.box.right - shown.box.left, shown.box.bottom - shown.box.top
    assert shown.size == Size(round(times * width), round(times * height))
    every = zoom(enlarge=2.0).call({"bbox": bbox}, scene=scene()).views[0]
    assert every.size == Size(round(2 * width), round(2 * height))


def test_a_part_of_a_crop_is_cut_from_the_file() -> None:
    found = zoom(target="last").call({"bbox": [10, 20, 30, 40]}, scene=scene(view(), CROP))
    assert found.views[0].box == Box(220, 80, 260, 120)
    assert found.focus == Region(Point(240, 100), Box(220, 80, 260, 120), picture=1)
    wide = zoom(target="last", pad_frac=0.25).call(
        {"bbox": [0, 0, 56, 56]}, scene=scene(view(), CROP)
    )
    assert wide.views[0].box == Box(88, 0, 424, 264)  # beyond the crop: the file goes on there


def test_any_picture_is_named_by_its_index() -> None:
    other = replace(view(size=Size(56, 56)), source=FileImage("other.png"))
    tool, shown = zoom(target="any", key="bbox_2d"), scene(view(), CROP, other)
    assert [a.name for a in tool.spec.arguments] == ["bbox_2d", "picture"]
    first, crop, last = (
        tool.call({"bbox_2d": [10, 10, 20, 20], "picture": i}, scene=shown) for i in range(3)
    )
    assert first == tool.call({"bbox_2d": [10, 10, 20, 20]}, scene=shown)
    assert [one.views[0].box for one in (first, crop, last)] == [
        Box(40, 40, 80, 80), Box(220, 60, 240, 80), Box(80, 80, 160, 160)
    ]  # fmt: skip
    assert last.views[0].path == "other.png"
    with pytest.raises(ToolError, match="There is no picture 3; the pictures are 0 to 2"):
        tool.call({"bbox_2d": [10, 10, 20, 20], "picture": 3}, scene=shown)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"view_px": 112, "enlarge": 2.0}, "enlarge=2 has no effect with view_px=112"),
        ({"small_share": 0.5, "large_share": 0.125}, "small_share=0.5 must be at most"),
        ({"view_px": 0}, "min_window_px=8 and view_px=0 must be at least 1"),
    ],
)
def test_settings_that_contradict(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        zoom(**settings)
