"""Several rollouts as one picture, for a notebook: where each looked, what it answered."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from vigorl.core.metrics import is_right
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.picture import cut_to, font_of, marked_picture
from vigorl.pages.spots import RIGHT, WRONG
from vigorl.pages.text import words_of

_MOST, _MOST_COLUMNS = 12, 4
_GAP_PX, _LINE_PX = 14, 20
_INK, _SOFT = "#222222", "#5d6066"
_KEY = (
    "white box: what had to be seen · blue box: what a zoom showed · "
    "discs: looks in order, ringed green in a right rollout, orange in a wrong one"
)


def rollout_sheet(
    rollouts: Sequence[ScoredRollout], images: ImageStore, *, side_px: int = 230
) -> Image.Image:
    """Each rollout's first picture with its looks; below it answer, reward and advantage.

    A question that all of them share stands above, with the right answer; otherwise each has its
    own. What the colours mean stands below, and how many there are where only twelve are drawn.

    Args:
        rollouts: One at least, each with a picture.
        images: Where their pictures come from.
        side_px: Longer side of each picture.
    Raises:
        DataError: A picture cannot be read.
    """
    number, rollouts = len(rollouts), rollouts[:_MOST]
    tasks = {one.rollout.task.id: one.rollout.task for one in rollouts}
    is_shared = len(tasks) == 1
    tiles = [_tile(one, images, side_px, has_question=not is_shared) for one in rollouts]
    columns = min(_MOST_COLUMNS, len(tiles))
    width, height = side_px + _GAP_PX, max(tile.height for tile in tiles) + _GAP_PX
    top = 2 * _LINE_PX + 4 if is_shared else 0
    rows = math.ceil(len(tiles) / columns)
    sheet_width = max(columns, 2) * width - _GAP_PX
    cut = f"the first {_MOST} of {number} · " if number > _MOST else ""
    key = _wrapped(cut + _KEY, sheet_width)
    size = (sheet_width, top + rows * height + _LINE_PX * len(key))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    if is_shared:
        (task,) = tasks.values()
        _write(pen, 0, cut_to(words_of(task.question), sheet_width), _INK)
        _write(pen, _LINE_PX, cut_to(f"right is: {task.answer}", sheet_width), _SOFT)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * width, top + i // columns * height))
    for i, line in enumerate(key):
        _write(pen, top + rows * height + _LINE_PX * i, line, _SOFT)
    return sheet


def _tile(
    one: ScoredRollout, images: ImageStore, side_px: int, *, has_question: bool
) -> Image.Image:
    rollout = one.rollout
    picture = marked_picture(rollout, images, max_side_px=side_px)
    answer = "no answer" if rollout.answer is None else rollout.answer
    verdict, colour = ("right", RIGHT) if is_right(rollout) else ("wrong", WRONG)
    lines = [
        (f"#{rollout.index}  {answer}  ({verdict})", colour),
        (f"reward {one.reward.total:.2f}  advantage {one.advantage:+.2f}", _INK),
    ]
    if has_question:
        lines[1:] = [
            (line, _INK) for line in _wrapped(words_of(rollout.task.question), side_px)[:2]
        ]
    tile = Image.new("RGB", (side_px, picture.height + 4 + _LINE_PX * len(lines)), "white")
    tile.paste(picture, (0, 0))
    pen = ImageDraw.Draw(tile)
    for i, (text, ink) in enumerate(lines):
        _write(pen, picture.height + 4 + _LINE_PX * i, cut_to(text, side_px), ink)
    return tile


def _wrapped(text: str, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font_of(14).getlength(longer) <= width_px - 4:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _write(pen: ImageDraw.ImageDraw, y: int, text: str, colour: str) -> None:
    pen.text((2, y + 2), text, fill=colour, font=font_of(14))
