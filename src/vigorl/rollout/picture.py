"""Where a policy looked, drawn on its picture: points, zoom windows, targets, and the crops.

`rollout_marks` says what to draw, in the picture's ORIGINAL frame; `rollout_picture` draws it with
Pillow (README, notebooks, MLflow), and `page` draws the same marks as SVG.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from PIL import Image, ImageDraw, ImageFont

from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.media import ImageView
from vigorl.core.records import AnswerKind, TaskRecord
from vigorl.core.rewards.answers import is_correct
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.core.trace import parse_point
from vigorl.data.images import ImageStore

RIGHT, WRONG = "#009e73", "#d55e00"  # green and vermilion of Okabe and Ito, told apart by all
TARGET = "#ffffff"
# Numbers tell rollouts apart too; no green or vermilion, which mean right and wrong.
ROLLOUT_COLOURS = (
    "#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#0072b2", "#b8b8b8", "#8c510a", "#9f8fef",
)  # fmt: skip

_SAME_PLACE_PX = (
    3.0  # a thought's point this near to its tool call's (RESIZED px) is not drawn twice
)
_SUPERSAMPLING = 2
_GAP_PX, _LABEL_PX = 10, 22


class MarkKind(StrEnum):
    """What a mark on the picture stands for."""

    ZOOM = "zoom"  # where a tool looked; it has a window
    THOUGHT = "thought"  # a point that a thought names
    ANSWER = "answer"  # the answer itself, when it is a point


@dataclass(frozen=True, slots=True)
class Mark:
    """One place on the first picture, ORIGINAL frame.

    Attributes:
        kind: What it stands for.
        point: Where.
        turn: The turn that wrote it, from 1.
        label: What is written on it: the turn's number, or the point's when there was no zoom.
        window: What the tool showed.
    """

    kind: MarkKind
    point: Point
    turn: int
    label: str = ""
    window: Box | None = None


def rollout_of(one: Rollout | ScoredRollout) -> Rollout:
    return one.rollout if isinstance(one, ScoredRollout) else one


def is_right(rollout: Rollout) -> bool:
    """Whether the answer is wholly right, whatever reward trains."""
    first = rollout.prompt_views[0] if rollout.prompt_views else None
    return is_correct(rollout.answer, rollout.task, view=first)


def rollout_marks(rollout: Rollout) -> list[Mark]:
    """Everything that a rollout pointed at on its first picture, in order."""
    if not rollout.prompt_views:
        return []
    first = rollout.prompt_views[0]
    to_original = FrameMap(first.text_size, first.original)
    marks: list[Mark] = []
    for number, turn in enumerate(rollout.turns, start=1):
        for point in turn.parsed.points:
            place = to_original.point(point)
            is_tools = turn.focus is not None and (
                to_original.inverse.point(turn.focus.point).distance(point) < _SAME_PLACE_PX
            )
            if first.holds(point) and not is_tools:
                marks.append(Mark(MarkKind.THOUGHT, place, number))
        if turn.focus is not None:
            focus = turn.focus
            marks.append(Mark(MarkKind.ZOOM, focus.point, number, str(number), focus.box))
    if not any(mark.kind is MarkKind.ZOOM for mark in marks):
        marks = [replace(mark, label=str(i)) for i, mark in enumerate(marks, start=1)]
    is_point = rollout.task.answer_kind is AnswerKind.POINT
    point = parse_point(rollout.answer or "") if is_point else None
    if point is not None and first.holds(point):
        marks.append(Mark(MarkKind.ANSWER, to_original.point(point), len(rollout.turns), "A"))
    return marks


def target_boxes(task: TaskRecord) -> tuple[Box, ...]:
    """What must be seen or hit, ORIGINAL frame."""
    return task.targets + ((task.answer_box,) if task.answer_box else ())


def fit_size(size: Size, max_side_px: int, *, may_grow: bool = False) -> Size:
    """The size with the same aspect whose longer side is `max_side_px`, or less if it was less."""
    scale = max_side_px / max(size.width, size.height)
    scale = scale if may_grow else min(1.0, scale)
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def whole_picture(images: ImageStore, view: ImageView, *, size: Size) -> Image.Image:
    """The whole picture that a view belongs to, from the original file, at any size."""
    return images.image(replace(view, size=size, box=None))


def rollout_picture(
    one: Rollout | ScoredRollout,
    images: ImageStore,
    *,
    max_side_px: int = 448,
    has_caption: bool = True,
) -> Image.Image:
    """The picture with numbered points, zoom windows and targets, and beside it the crops in order.

    A crop's frame is solid green when it holds the centre of a target, grey otherwise.

    Args:
        one: What happened.
        images: Where its pictures come from.
        max_side_px: Longer side of the picture; the crops are stacked to its height.
        has_caption: Write question, answer and right answer below.
    Raises:
        ValueError: The rollout has no picture.
        DataError: A picture cannot be read.
    """
    rollout = rollout_of(one)
    if not rollout.prompt_views:
        raise ValueError(f"task {rollout.task.id!r} has no picture to draw on")
    left = _marked_whole(rollout, images, max_side_px=max_side_px)
    tiles = _crop_tiles(rollout, images, height_px=left.height)
    width = left.width + sum(tile.width + _GAP_PX for tile in tiles)
    lines = _caption_lines(rollout, width) if has_caption else []
    sheet = Image.new("RGB", (width, left.height + _LABEL_PX * len(lines)), "white")
    sheet.paste(left, (0, 0))
    x = left.width + _GAP_PX
    for tile in tiles:
        sheet.paste(tile, (x, 0))
        x += tile.width + _GAP_PX
    pen = ImageDraw.Draw(sheet)
    for i, (text, colour) in enumerate(lines):
        pen.text((2, left.height + _LABEL_PX * i + 4), text, fill=colour, font=_font(14))
    return sheet


def _marked_whole(rollout: Rollout, images: ImageStore, *, max_side_px: int) -> Image.Image:
    view = rollout.prompt_views[0]
    size = fit_size(view.original, max_side_px, may_grow=True)
    large = Size(size.width * _SUPERSAMPLING, size.height * _SUPERSAMPLING)
    image = whole_picture(images, view, size=large).copy()
    _draw_marks(image, rollout, to_canvas=FrameMap(view.original, large))
    return image.resize((size.width, size.height), Image.Resampling.LANCZOS)


def _draw_marks(image: Image.Image, rollout: Rollout, *, to_canvas: FrameMap) -> None:
    pen, unit = ImageDraw.Draw(image), max(image.size) / 448
    marks, ring = rollout_marks(rollout), RIGHT if is_right(rollout) else WRONG
    for box in target_boxes(rollout.task):
        _outline(pen, to_canvas.box(box), fill=TARGET, unit=unit)
    for mark in marks:
        if mark.window is not None:
            _outline(pen, to_canvas.box(mark.window), fill=ROLLOUT_COLOURS[0], unit=unit)
    path = [to_canvas.point(mark.point) for mark in marks if mark.kind is MarkKind.ZOOM]
    if len(path) > 1:
        pen.line([(p.x, p.y) for p in path], fill=ROLLOUT_COLOURS[0], width=round(1.5 * unit))
    for mark in marks:
        center = to_canvas.point(mark.point)
        radius = (9.5 if mark.label else 3.5) * unit
        colours = (("white", 3.2), (ring, 2.2), (ROLLOUT_COLOURS[0], 0)) if mark.label else (
            ("white", 1.5), ("black", 0))  # fmt: skip
        for colour, extra in colours:
            _disc(pen, center, radius + extra * unit, fill=colour)
        if mark.label:
            font = _font(round(13 * unit))
            pen.text((center.x, center.y), mark.label, fill="black", font=font, anchor="mm")


def _outline(pen: ImageDraw.ImageDraw, box: Box, *, fill: str, unit: float) -> None:
    """A rectangle that can be seen on light and on dark ground."""
    pen.rectangle(box.as_tuple(), outline="black", width=round(4 * unit))
    inner = (box.left + unit, box.top + unit, box.right - unit, box.bottom - unit)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        pen.rectangle(inner, outline=fill, width=round(2 * unit))


def _disc(pen: ImageDraw.ImageDraw, center: Point, radius: float, *, fill: str) -> None:
    box = (center.x - radius, center.y - radius, center.x + radius, center.y + radius)
    pen.ellipse(box, fill=fill)


def _crop_tiles(rollout: Rollout, images: ImageStore, *, height_px: int) -> list[Image.Image]:
    """Labelled crops in reading order, as columns of one to three that fit beside the picture."""
    shown = [(n, turn, v) for n, turn in enumerate(rollout.turns, start=1) for v in turn.views]
    if not shown:
        return []
    per_column = 1 if len(shown) == 1 else 2 if len(shown) <= 6 else 3
    side = (height_px - _LABEL_PX * per_column) // per_column
    if len(shown) == 1:
        side = min(side, round(height_px * 0.6))
    tiles = []
    for number, turn, view in shown:
        is_hit = is_zoom_hit(view, rollout.task.targets)
        size = fit_size(view.size, side, may_grow=True)
        crop = images.image(view).resize((size.width, size.height), Image.Resampling.BICUBIC)
        place = turn.focus.point if turn.focus else None
        at = f"  at ({place.x:.0f}, {place.y:.0f})" if place else ""
        tiles.append(_labelled(crop, f"{number}{at}", frame=RIGHT if is_hit else "#8a8a8a"))
    num_columns = math.ceil(len(tiles) / per_column)
    return [_stacked(tiles[i::num_columns]) for i in range(num_columns)]


def _labelled(crop: Image.Image, label: str, *, frame: str) -> Image.Image:
    tile = Image.new("RGB", (crop.width, crop.height + _LABEL_PX), "white")
    tile.paste(crop, (0, _LABEL_PX))
    pen = ImageDraw.Draw(tile)
    pen.text((2, 3), label, fill="#222222", font=_font(14))
    pen.rectangle((0, _LABEL_PX, tile.width - 1, tile.height - 1), outline=frame, width=3)
    return tile


def _stacked(tiles: Sequence[Image.Image]) -> Image.Image:
    size = (max(tile.width for tile in tiles), sum(tile.height for tile in tiles))
    column, y = Image.new("RGB", size, "white"), 0
    for tile in tiles:
        column.paste(tile, (0, y))
        y += tile.height
    return column


def _caption_lines(rollout: Rollout, width_px: int) -> list[tuple[str, str]]:
    """Question and answer, cut to the width, with their colours."""
    right, answer = is_right(rollout), rollout.answer
    said = "no answer" if answer is None else f"answer: {answer}"
    verdict = "right" if right else f"wrong, right is: {rollout.task.answer}"
    lines = [
        (rollout.task.question, "#222222"),
        (f"{said}  ({verdict})", RIGHT if right else WRONG),
    ]
    return [(_cut(text, width_px), colour) for text, colour in lines]


def _cut(text: str, width_px: int) -> str:
    font = _font(14)
    text = " ".join(
        "".join(c if c.isprintable() or c in string.whitespace else "�" for c in text).split()
    )
    while len(text) > 1 and font.getlength(text) > width_px - 4:
        text = text[: max(1, int(len(text) * 0.95) - 1)].rstrip("…") + "…"
    return text


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
