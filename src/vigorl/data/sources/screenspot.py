"""ScreenSpot: find the element of a screenshot that an instruction speaks of; right is any point in
its box.

v2   [{"img_filename": "a.png", "bbox": [x, y, width, height], "instruction": "...",
       "data_type": "text", "data_source": "web"}, ...]
Pro  [{"img_filename": "a.png", "bbox": [x1, y1, x2, y2], "instruction": "...", "id": "...",
       "img_size": [w, h], "group": "CAD", "ui_type": "icon"}, ...]

The two spell boxes differently; reading one as the other gives plausible wrong boxes, hence two
readers.
Source: https://huggingface.co/datasets/OS-Copilot/ScreenSpot-v2, https://huggingface.co/datasets/likaixin/ScreenSpot-Pro
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.point import PointInBox, box_text
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, item_rows
from vigorl.data.sources.rows import BoxForm, Row


def read_screenspot_v2(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every instruction of a ScreenSpot-v2 file as a task for a point; category "web/text".

    Args:
        path: The JSON list.
        image_root: Folder of the screenshots; "images" beside the file when None.
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and item: a missing key or screenshot, or a box off the screenshot.
    """
    return _records(path, image_root, form="xywh", rules=rules)


def read_screenspot_pro(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every instruction of a ScreenSpot-Pro file as a task for a point; category "CAD/text".

    Args:
        path: The JSON list.
        image_root: Folder of the screenshots; "images" beside the file when None.
        rules: What becomes of bad rows.
    Raises:
        DataError: As `read_screenspot_v2`, or "img_size" is not the screenshot's size.
    """
    return _records(path, image_root, form="xyxy", rules=rules)


def _records(
    path: str | Path, image_root: str | Path | None, *, form: BoxForm, rules: Rules
) -> Sequence[TaskRecord]:
    image_root = Path(path).parent / "images" if image_root is None else image_root
    return collect(item_rows(path, image_root=image_root), partial(_record, form=form), rules=rules)


def _record(row: Row, *, form: BoxForm) -> TaskRecord:
    image = row.picture(row.text("img_filename"))
    size = row.picture_size(image)
    stated = row.values.get("img_size")
    if stated is not None and stated != [size.width, size.height]:
        row.fail(
            f'"img_size" says {stated!r:.80}, but the screenshot is {size.width}x{size.height}'
        )
    box: Box = row.box(row.values.get("bbox"), form=form, key="bbox", on=size)
    group, kind = ("data_source", "data_type") if form == "xywh" else ("group", "ui_type")
    parts = (row.text(group, default=""), row.text(kind, default=""))
    return row.checked(
        TaskRecord(
            id=row.identity(),
            question=row.text("instruction"),
            answer=box_text(box),
            images=(image,),
            scorer=PointInBox(box),
            targets=(box,),
            category="/".join(part for part in parts if part),
            source=row.source,
        )
    )
