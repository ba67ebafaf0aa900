"""A rollout as one picture, for a README or a notebook: where it looked and what it was shown."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from vigorl.core.geometry import Box, FrameMap, Point, Size, fit_size
from vigorl.core.metrics import is_right
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.spots import (
    RIGHT,
    ROLLOUT_COLOURS,
    TARGET,
    WRONG,
    SpotKind,
    spots_of,
)  # fmt: skip
from vigorl.pages.text import words_of

_SUPERSAMPLING = 2
_GAP_PX, _LABEL_PX = 10, 22


def rollout_picture(
    one: Rollout | ScoredRollout, images: ImageStore, *, max_side_px: int = 448
) -> Image.Image:
    """The first picture with numbered points, windows and targets; beside it the views in order,
    below it question and answer.

    A view's frame is solid green when it holds the centre of a target, grey otherwise.

    Args:
        one: What happened.
        images: Where its pictures come from.
        max_side_px: Longer side of the picture; the views are stacked to its height.
    Raises:
        ValueError: The rollout has no picture.
        DataError: A picture cannot be read.
    """
    rollout = one.rollout if isinstance(one, ScoredRollout) else one
    if not rollout.prompt_views:
        raise ValueError(f"task {rollout.task.id!r} has no picture to draw on")
    left = marked_picture(rollout, images, max_side_px=max_side_px)
    tiles = _tiles(rollout, images, height_px=left.height)
    width = left.width + sum(tile.width + _GAP_PX for tile in tiles)
    lines = _caption_lines(rollout, width)
    sheet = Image.new("RGB", (width, left.height + _LABEL_PX * len(lines)), "white")
    sheet.paste(left, (0, 0))
    x = left.width + _GAP_PX
    for tile in tiles:
        sheet.paste(tile, (x, 0))
        x += tile.width + _GAP_PX
    pen = ImageDraw.Draw(sheet)
    for i, (text, colour) in enumerate(lines):
        pen.text((2, left.height + _LABEL_PX * i + 4), text, fill=colour, font=font_of(14))
    return sheet


def marked_picture(
    rollout: Rollout, images: ImageStore, *, max_side_px: int, ring: str | None = None
) -> Image.Image:
    """The first picture of a rollout that has one, with its points, windows and targets.

    Args:
        rollout: What happened.
        images: Where the picture comes from.
        max_side_px: Its longer side.
        ring: Colour around the points; None says whether the answer is right.
    Raises:
        DataError: It cannot be read.
    """
    view = rollout.prompt_views[0]
    size = fit_size(view.original, max_side_px, may_grow=True)
    large = Size(size.width * _SUPERSAMPLING, size.height * _SUPERSAMPLING)
    image = images.image(replace(view, size=large)).copy()
    ring = ring or (RIGHT if is_right(rollout) else WRONG)
    _draw_spots(image, rollout, to_canvas=FrameMap(view.original, large), ring=ring)
    return image.resize((size.width, size.height), Image.Resampling.LANCZOS)


def _draw_spots(image: Image.Image, rollout: Rollout, *, to_canvas: FrameMap, ring: str) -> None:
    pen, unit = ImageDraw.Draw(image), max(image.size) / 448
    first = rollout.prompt_views[0].source.key
    spots = [spot for spot in spots_of(rollout) if spot.picture == first]
    for box in rollout.task.target_boxes:
        _outline(pen, to_canvas.box(box), fill=TARGET, unit=unit)
    for spot in spots:
        if spot.window is not None:
            _outline(pen, to_canvas.box(spot.window), fill=ROLLOUT_COLOURS[0], unit=unit)
    path = [to_canvas.point(spot.point) for spot in spots if spot.kind is SpotKind.LOOK]
    if len(path) > 1:
        pen.line([(p.x, p.y) for p in path], fill=ROLLOUT_COLOURS[0], width=round(1.5 * unit))
    for spot in spots:
        center = to_canvas.point(spot.point)
        radius = (9.5 if spot.label else 3.5) * unit
        colours = (("white", 3.2), (ring, 2.2), (ROLLOUT_COLOURS[0], 0)) if spot.label else (
            ("white", 1.5), ("black", 0))  # fmt: skip
        for colour, extra in colours:
            _disc(pen, center, radius + extra * unit, fill=colour)
        if spot.label:
            font = font_of(round(13 * unit))
            pen.text((center.x, center.y), spot.label, fill="black", font=font, anchor="mm")


def _outline(pen: ImageDraw.ImageDraw, box: Box, *, fill: str, unit: float) -> None:
    """A rectangle that can be seen on light and on dark ground."""
    pen.rectangle(box.as_tuple(), outline="black", width=round(4 * unit))
    inner = (box.left + unit, box.top + unit, box.right - unit, box.bottom - unit)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        pen.rectangle(inner, outline=fill, width=round(2 * unit))


def _disc(pen: ImageDraw.ImageDraw, center: Point, radius: float, *, fill: str) -> None:
    box = (center.x - radius, center.y - radius, center.x + radius, center.y + radius)
    pen.ellipse(box, fill=fill)


def _tiles(rollout: Rollout, images: ImageStore, *, height_px: int) -> list[Image.Image]:
    """Labelled views in reading order, as columns of one to three that fit beside the picture."""
    places = {spot.turn: spot.point for spot in spots_of(rollout) if spot.kind is SpotKind.LOOK}
    shown = [(n, v) for n, turn in enumerate(rollout.turns, start=1) for v in turn.views]
    if not shown:
        return []
    per_column = 1 if len(shown) == 1 else 2 if len(shown) <= 6 else 3
    side = (height_px - _LABEL_PX * per_column) // per_column
    if len(shown) == 1:
        side = min(side, round(height_px * 0.6))
    tiles = []
    for number, view in shown:
        size = fit_size(view.size, side, may_grow=True)
        tile = images.image(view).resize((size.width, size.height), Image.Resampling.BICUBIC)
        at = f"  at ({places[number].x:.0f}, {places[number].y:.0f})" if number in places else ""
        is_hit = is_zoom_hit(view, rollout.task.target_boxes, first=rollout.prompt_views[0])
        tiles.append(_labelled(tile, f"{number}{at}", frame=RIGHT if is_hit else "#8a8a8a"))
    num_columns = math.ceil(len(tiles) / per_column)
    return [_stacked(tiles[i::num_columns]) for i in range(num_columns)]


def _labelled(crop: Image.Image, label: str, *, frame: str) -> Image.Image:
    tile = Image.new("RGB", (crop.width, crop.height + _LABEL_PX), "white")
    tile.paste(crop, (0, _LABEL_PX))
    pen = ImageDraw.Draw(tile)
    pen.text((2, 3), label, fill="#222222", font=font_of(14))
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
        (words_of(rollout.task.question), "#222222"),
        (f"{said}  ({verdict})", RIGHT if right else WRONG),
    ]
    return [(cut_to(text, width_px), colour) for text, colour in lines]


def cut_to(text: str, width_px: int) -> str:
    """One line of a sheet, cut with an ellipsis where it is wider."""
    font = font_of(14)
    text = " ".join(
        "".join(c if c.isprintable() or c in string.whitespace else "�" for c in text).split()
    )
    while len(text) > 1 and font.getlength(text) > width_px - 4:
        text = text[: max(1, int(len(text) * 0.95) - 1)].rstrip("…") + "…"
    return text


def font_of(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """That of all sheets, which needs no font of the machine."""
    return ImageFont.load_default(size_px)
