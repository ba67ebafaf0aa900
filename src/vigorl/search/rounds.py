"""A dialog of looks told in one turn: rounds of a thought, the box it looks at, and what is seen.

    <think> The disc may be on the shelf. Region (12, 40), (40, 68), depth 0.31. Its stripes rise.
    </think> <answer> rising </answer>

Whoever learns from it needs no tool: the policy speaks of boxes itself and says what they show.
Source: VisReason, arXiv:2511.17731 (several rounds of rationale with regions; depth in its part
Pro). No code is published; the words between are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.media import ImageView
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, Trace, render_point


def tell_in_rounds(
    record: TraceRecord,
    views: Sequence[ImageView],
    *,
    image: ImageView,
    depth_root: str | None = None,
) -> TraceRecord | None:
    """The dialog as one turn; None where a look shows no part of the picture.

    Args:
        record: A dialog with at least one look.
        views: What each look showed.
        image: The whole picture as the teacher saw it, in whose text frame the boxes are written.
        depth_root: A folder with a depth map of each picture, by its name with .png: grey, one
            channel; each box is then told its median, from 0 (black) to 1.
    Raises:
        DataError: A depth map is missing, or is no grey picture.
    """
    steps, boxes = record.trace.steps, [view.box for view in views]
    regions = [box for box in boxes if box is not None]
    if not regions or len(regions) != len(steps) - 1:
        return None
    said: list[str] = []
    for step, box in zip(steps, regions, strict=False):
        left, top, right, bottom = image.box_to_text(box)
        ends = f"{render_point(Point(left, top))}, {render_point(Point(right, bottom))}"
        depth = "" if depth_root is None else f", depth {_depth(depth_root, image, box):.2f}"
        said += [step.think, f"Region {ends}{depth}."]
    trace = Trace((Step(" ".join([*said, steps[-1].think])),), record.trace.answer)
    return replace(record, trace=trace)


def _depth(root: str, image: ImageView, box: Box) -> float:
    """The median inside an ORIGINAL-frame box, in [0, 1]."""
    values, largest = _depth_map(f"{Path(root, Path(image.path).stem)}.png")
    size = Size(values.shape[1], values.shape[0])
    on_map = FrameMap(image.original, size).box(box)
    left, top = min(int(on_map.left), size.width - 1), min(int(on_map.top), size.height - 1)
    right, bottom = max(int(on_map.right), left + 1), max(int(on_map.bottom), top + 1)
    return float(np.median(values[top:bottom, left:right])) / largest


@lru_cache(maxsize=8)  # questions of one picture follow each other
def _depth_map(path: str) -> tuple[np.ndarray, int]:
    """[height, width] its values, and the largest that its format can hold."""
    try:
        with Image.open(path) as opened:
            values = np.asarray(opened)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(
            "is no depth map; chains.settings.depth_root needs one for each picture, by its name "
            f"with .png ({error})",
            path=path,
        ) from error
    if values.ndim != 2:
        raise DataError("must be a grey picture of one channel, to be a depth map", path=path)
    return values, 255 if values.dtype == np.uint8 else 65535
