"""What drawing tools share: the picture that marks are put on, and their sizes and colours.

What has been drawn stays, for all drawing tools of a dialog, without a state of their own: the
marks are those of the pictures that the dialog has shown. So a branch of a search needs nothing,
and a zoom into a drawn-on picture (`target=any`) shows its marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import ImageFont

from vigorl.core.geometry import Box, Point
from vigorl.core.media import Dot, Fill, ImageView, Label, Mark, Outline, Rgb, Tint
from vigorl.core.protocols import Observation, Scene
from vigorl.rollout.tools.arguments import PICTURE, read_picture

WHITE: Rgb = (255, 255, 255)
ALL_MARKS = "the picture with all marks so far"  # what each of them replies with
SHOWN = f"Here is {ALL_MARKS}"
COLOURS: tuple[Rgb, ...] = (  # vivid on most pictures; they repeat
    (230, 25, 75), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180), (0, 160, 160),
)  # fmt: skip


def canvas_of(arguments: Mapping[str, object], *, scene: Scene) -> ImageView:
    """The picture that a call names, the first where it names none, with all that has been drawn
    on its file so far.

    Raises:
        ToolError: There is no such picture.
    """
    target = scene[read_picture(arguments, PICTURE.name, scene=scene)]
    versions = [view for view in scene.views if view.unmarked == target.unmarked]
    newest = max(versions, key=lambda view: len(view.marks))  # marks are only ever added
    return replace(target, source=newest.source)


def drawn(canvas: ImageView, marks: Sequence[Mark], *, shown: str) -> Observation:
    """The reply that shows a canvas with further marks."""
    return Observation((f"{shown}:\n", canvas.edited(*marks)))


def pixels_of(shown_px: float, *, canvas: ImageView) -> float:
    """A length of the picture as it is shown, in ORIGINAL pixels."""
    return shown_px * (canvas.region.right - canvas.region.left) / canvas.size.width


def num_marks(canvas: ImageView, kind: type[Dot] | type[Outline]) -> int:
    """How many marks of a kind a canvas has, for numbers that go on."""
    return sum(isinstance(mark, kind) for mark in canvas.marks)


def tag_at(
    point: Point, text: str, *, height_px: float, canvas: ImageView, rgb: Rgb
) -> tuple[Fill, Label]:
    """White letters on a colour, with their upper left corner at a place, or as near as what the
    canvas shows of its picture allows.

    Args:
        point: ORIGINAL frame.
        text: One line.
        height_px: Of the letters, in pixels of the picture as it is shown.
        canvas: What it is drawn on.
        rgb: What is below the letters.
    """
    height = max(round(pixels_of(height_px, canvas=canvas)), 1)
    left, top, right, bottom = ImageFont.load_default(height).getbbox(text)
    wide, high, edge = right - left, bottom - top, height / 6
    region = canvas.region
    x = max(min(point.x, region.right - wide - 2 * edge - 1), region.left)
    y = max(min(point.y, region.bottom - high - 2 * edge - 1), region.top)
    below = Box(x, y, x + wide + 2 * edge, y + high + 2 * edge)
    return Fill(below, rgb), Label(Point(x + edge - left, y + edge - top), text, height, WHITE)


def numbered_boxes(
    boxes: Sequence[Box],
    names: Sequence[str],
    *,
    canvas: ImageView,
    width_px: float = 4.0,
    text_px: float = 12.0,
    strength: float = 0.0,
) -> list[Mark]:
    """Boxes with their names and numbers, which go on from those of the canvas.

    Args:
        boxes: ORIGINAL frame.
        names: One each; "" leaves the number alone.
        canvas: What they are drawn on.
        width_px: Of the lines, in pixels of the picture as it is shown.
        text_px: Height of the letters, likewise.
        strength: How much of a box's colour is mixed into what it holds.
    """
    width = max(round(pixels_of(width_px, canvas=canvas)), 1)
    height, first = pixels_of(text_px, canvas=canvas), num_marks(canvas, Outline) + 1
    marks: list[Mark] = []
    for number, (box, name) in enumerate(zip(boxes, names, strict=True), start=first):
        rgb = COLOURS[(number - 1) % len(COLOURS)]
        above = Point(box.left, box.top - 1.3 * height)
        if above.y < canvas.region.top:  # no room: inside
            above = Point(box.left + width, box.top + width)
        text = f"{name} {number}" if name else str(number)
        tag = tag_at(above, text, height_px=text_px, canvas=canvas, rgb=rgb)
        marks += [Tint(box, strength, rgb)] if strength else []
        marks += [Outline(box, width, rgb), *tag]
    return marks
