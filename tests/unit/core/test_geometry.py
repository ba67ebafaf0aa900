import pytest

from vigorl.core.geometry import (
    Box,
    FrameMap,
    Point,
    Size,
    box_window,
    zoom_window,
)


def test_senseless_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one pixel"):
        Size(0, 5)
    with pytest.raises(ValueError, match="left < right"):
        Box(3, 0, 3, 5)


def test_box_edges():
    box = Box.from_xywh(10, 20, 30, 40)
    assert box.as_tuple() == (10, 20, 40, 60)
    assert box.center == Point(25, 40)
    assert box.contains(Point(10, 60))
    assert not box.contains(Point(9.9, 60))
    assert box.covers(box)
    assert not box.covers(Box(10, 20, 40, 61))
    assert box.is_inside(Size(40, 60))
    assert not box.is_inside(Size(40, 59))


def test_a_picture_is_half_open():
    assert Point(0, 0).is_inside(Size(4, 3))
    assert Point(3, 2).is_inside(Size(4, 3))
    assert not Point(4, 2).is_inside(Size(4, 3))
    assert not Point(-1, 2).is_inside(Size(4, 3))


def test_frame_map():
    to_resized = FrameMap(Size(448, 224), Size(112, 112))
    assert to_resized.point(Point(200, 80)) == Point(50, 40)  # x / 4, y / 2
    assert to_resized.box(Box(40, 40, 80, 80)) == Box(10, 20, 20, 40)


def test_pixel_stays_on_the_picture():
    to_resized = FrameMap(Size(448, 448), Size(112, 112))
    assert to_resized.pixel(Point(447, 447)) == Point(111, 111)  # 111.75 would round to 112
    assert to_resized.pixel(Point(-3, 5)) == Point(0, 1)


@pytest.mark.parametrize(
    ("center", "window"),
    [
        ((200, 200), (144, 144, 256, 256)),
        ((10, 80), (0, 24, 112, 136)),  # shifted right
        ((447, 447), (336, 336, 448, 448)),  # shifted left and up
    ],
)
def test_zoom_window_is_shifted_never_squashed(center, window):
    found = zoom_window(Point(*center), image=Size(448, 448), side_px=112)
    assert found.as_tuple() == window


def test_a_small_picture_is_shown_whole():
    found = zoom_window(Point(5, 5), image=Size(100, 448), side_px=112)
    assert found.as_tuple() == (0, 0, 100, 112)


def test_zooming_off_the_picture_is_refused():
    with pytest.raises(ValueError, match="outside the 448x448 picture"):
        zoom_window(Point(448, 5), image=Size(448, 448), side_px=112)
    with pytest.raises(ValueError, match="not inside"):
        box_window(Box(-1, 0, 5, 5), image=Size(448, 448), min_side_px=28)


def test_box_window_grows_small_boxes():
    found = box_window(Box(0, 100, 10, 300), image=Size(448, 448), min_side_px=56)
    assert found.as_tuple() == (0, 100, 56, 300)  # width 10 -> 56 and shifted right
