"""Marks that stay; 1 pixel as shown = 4 ORIGINAL ones on the first picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.builders import scene, view
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import Dot, FileImage, Fill, ImageView, Label, Line, Noise, Outline, Tint
from vigorl.core.protocols import Scene, ToolError
from vigorl.data.pictures import marked
from vigorl.rollout.tools.canvas import COLOURS
from vigorl.rollout.tools.draw_line import BLUE, RED, DrawLine
from vigorl.rollout.tools.mark_boxes import MarkBoxes
from vigorl.rollout.tools.mark_points import MarkPoints
from vigorl.rollout.tools.write_text import WriteText

POINTS, BOXES, LINE, NOTE = MarkPoints(), MarkBoxes(), DrawLine(), WriteText()


def numbers_on(image: ImageView) -> list[str]:
    return [mark.text for mark in image.marks if isinstance(mark, Label)]


def test_marks_of_all_tools_stay_and_numbers_go_on() -> None:
    shown = scene()
    for tool, arguments in (
        (POINTS, {"points": [[50, 20], [80, 64]]}),
        (BOXES, {"boxes": [[40, 10, 60, 30]], "label": "disc"}),
        (POINTS, {"points": [[10, 10]]}),
        (BOXES, {"boxes": [[1, 1, 9, 9]]}),
    ):
        shown = Scene((*shown.views, *tool.call(arguments, scene=shown).views))
    assert numbers_on(shown.views[-1]) == ["1", "2", "disc 1", "3", "2"]
    assert shown.views[0] == view()  # what was shown before is as it was


def test_a_zoom_in_between_wipes_nothing() -> None:
    dotted = POINTS.call({"points": [[50, 20]]}, scene=scene()).views[0]
    crop = view(box=Box(0, 0, 112, 112), size=Size(56, 56))
    shown = scene(view(), dotted, crop)
    after = POINTS.call({"points": [[10, 10]], "picture": 2}, scene=shown).views[0]
    assert (after.box, after.size) == (crop.box, crop.size)
    assert [mark.point for mark in after.marks if isinstance(mark, Dot)] == [
        Point(200, 80),
        Point(20, 20),  # on the crop, 1 pixel as shown = 2 ORIGINAL ones
    ]


def test_each_file_has_a_canvas_of_its_own() -> None:
    other = replace(view(), source=FileImage("other.png"))
    shown = scene(view().edited(Noise()), other)
    found = POINTS.call({"points": [[50, 20]], "picture": 1}, scene=shown).views[0]
    assert found.path == "other.png"
    assert numbers_on(found) == ["1"]
    assert not any(isinstance(mark, Noise) for mark in found.marks)


def test_sizes_are_those_of_the_picture_as_shown() -> None:
    crop = view(box=Box(0, 0, 112, 112), size=Size(112, 112))
    for image, times in ((view(), 4), (crop, 1)):
        dot = POINTS.call({"points": [[50, 20]]}, scene=scene(image)).views[0].marks[0]
        line, first, last = (
            LINE.call({"points": [[5, 5], [9, 9]]}, scene=scene(image)).views[0].marks
        )
        outline = BOXES.call({"boxes": [[1, 1, 9, 9]]}, scene=scene(image)).views[0].marks[0]
        assert isinstance(dot, Dot)
        assert isinstance(line, Line)
        assert isinstance(outline, Outline)
        assert (dot.radius_px, line.width_px, outline.width_px) == (3 * times, 4 * times, 4 * times)
        assert (first, last) == (
            Dot(Point(5 * times, 5 * times), 4 * times, RED),
            Dot(Point(9 * times, 9 * times), 4 * times, BLUE),
        )


def test_a_region_shows_what_is_below() -> None:
    seen = MarkBoxes(strength=0.25).call({"boxes": [[0, 0, 2, 2]]}, scene=scene())
    tint = seen.views[0].marks[0]
    assert tint == Tint(Box(0, 0, 8, 8), 0.25, COLOURS[0])
    found = marked(
        Image.new("RGB", (20, 20), (100, 200, 60)), [Tint(Box(0, 0, 8, 8), 0.25, (20, 0, 100))]
    )
    assert found.getpixel((7, 7)) == (80, 150, 70)  # 0.75 * 100 + 0.25 * 20, ...
    assert found.getpixel((8, 8)) == (100, 200, 60)
    thin = marked(found, [Tint(Box(3.1, 3.1, 3.2, 9))])  # narrower than a pixel
    assert thin.tobytes() == found.tobytes()


def test_a_note_is_kept_on_the_picture() -> None:
    for point in ([111, 111], [0, 0]):
        (seen,) = NOTE.call({"point": point, "text": "a long note"}, scene=scene()).views
        below, note = seen.marks
        assert isinstance(below, Fill)
        assert isinstance(note, Label)
        assert note.text == "a long note"
        assert below.box is not None
        assert below.box.is_inside(Size(448, 448))
        drawn = np.asarray(marked(Image.new("RGB", (448, 448)), [note]))
        rows, columns, _ = drawn.nonzero()  # the letters lie on their ground
        assert below.box.left <= columns.min() < columns.max() < below.box.right
        assert below.box.top <= rows.min() < rows.max() < below.box.bottom


@pytest.mark.parametrize("text", ["two\nlines", "\x00", "\ud83d", "\u202e"])
def test_notes_that_cannot_be_drawn(text: str) -> None:
    with pytest.raises(ToolError, match="one line of printable characters"):
        NOTE.call({"point": [5, 5], "text": text}, scene=scene())


def test_a_line_has_two_ends() -> None:
    with pytest.raises(ToolError, match="at least 2 points"):
        LINE.call({"points": [[5, 5]]}, scene=scene())


def test_a_line_shows_its_middle_close() -> None:
    close = DrawLine(width_px=0.5, window_px=112, view_px=56)
    reply = close.call({"points": [[20, 50], [90, 60]]}, scene=scene())
    (found,) = reply.views
    # the middle is (55, 55) as shown, (220, 220) in the file
    assert found.box == Box(164, 164, 276, 276)
    assert found.size == Size(56, 56)
    assert reply.focus is not None
    assert (reply.focus.point, reply.focus.picture) == (Point(220, 220), 0)
    (line,) = (mark for mark in found.marks if isinstance(mark, Line))
    assert line.width_px == 2
    assert "enlarged" in close.spec.reply
