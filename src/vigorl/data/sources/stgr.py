"""Open-o3 Video's questions with their evidence in time and space (STGR-SFT.json, STGR-RL.json).

    [{"id": "a", "question": "Who opens the door?", "answer": "A man in red.", "source": "STR_plm",
      "task": "temporal-spatial free-form QA", "video_path": "a.mp4", "image_size": [640, 360],
      "key_frames": [{"idx": 3, "time": 3.5, "path": "a_3.jpg"}],
      "key_items": {"3": {"man": [[0.1, 0.2, 0.5, 0.9]]}}}, ...]

Boxes are shares of the frame. Of "temporal QA" the answer is "[12.5, 20.0]", of its form with
options "B\\n[12.5, 20.0]"; "visual QA" is about single pictures and left out. Worked solutions
("reasoning_process") are not read, key frames that lie there as pictures neither: frames are taken
from the videos.
Source: marinero4972/Open-o3-Video@51387ab, src/r1-v/src/open_r1/reward_func.py and trainer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vigorl.core.geometry import Size
from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, item_rows
from vigorl.data.sources.rows import Row

INTERVAL, LETTER_AND_INTERVAL = "temporal QA", "temporal QA (MCQ)"
OF_PICTURES = "visual QA"
TASKS = (
    "temporal-spatial free-form QA", INTERVAL, LETTER_AND_INTERVAL, "General video QA MCQ",
    "General video QA Free-form",
)  # fmt: skip


def read_stgr(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every question about a video, its kind as the category; the tag "span" where the answer has
    an interval, "keys" where boxes are known (`core.rewards.video`).

    Args:
        path: The JSON list.
        image_root: Where its videos' names start; the file's own folder when None.
        rules: What becomes of bad rows, and which frames a question shows.
    Raises:
        DataError: With file and item: a missing key or video, or an answer of another form.
    """
    rows = item_rows(path, image_root=image_root)
    asked = [row for row in rows if not (isinstance(row, Row) and _kind(row) == OF_PICTURES)]
    return collect(asked, _record, rules=rules)


def _kind(row: Row) -> str:
    return row.text("task", default="")


def _record(row: Row) -> TaskRecord:
    kind = row.text("task")
    if kind not in TASKS:
        row.fail(f'"task" must be one of {", ".join(TASKS)}, got {kind!r:.60}')
    video = row.picture(row.text("video_path"))
    answer, tags = row.text("answer"), dict[str, str]()
    if kind in (INTERVAL, LETTER_AND_INTERVAL):
        letter, _, interval = answer.rpartition("\n")
        start, end = _interval(row, interval)
        answer, tags["span"] = letter.strip() or f"{start:g} to {end:g}", f"{start:g} {end:g}"
    if keys := list(_keys(row, row.picture_size(video))):
        tags["keys"] = "; ".join(keys)
    return row.checked(
        TaskRecord(
            id=row.identity(),
            question=row.text("question"),
            answer=answer,
            images=(video,),
            category=kind,
            tags=tags,
            source=row.source,
        )
    )


def _interval(row: Row, text: str) -> tuple[float, float]:
    try:
        start, end = map(float, json.loads(text))
    except (ValueError, TypeError):
        row.fail(f'"answer" must end in an interval "[12.5, 20.0]", got {text!r:.60}')
    if not 0 <= start < end:
        row.fail(f'"answer" must end in seconds from and to, got {text!r:.60}')
    return start, end


def _keys(row: Row, size: Size) -> Iterator[str]:
    """Each known box as "SECOND [left, top, right, bottom]", pixels of the video."""
    frames = row.objects("key_frames", is_required=False)
    times = {str(one.get("idx")): one.get("time") for one in frames}
    items: Any = row.values.get("key_items") or {}
    if not isinstance(items, Mapping):
        row.fail('"key_items" must be an object of frames')
    for index, things in items.items():
        for boxes in (things or {}).values():
            for box in boxes or ():
                time = times.get(index)
                if not isinstance(time, int | float):
                    row.fail(f'"key_items" has the frame {index!r:.20}, "key_frames" has it not')
                found = row.box(box, form="xyxy", key="key_items", on=size)
                yield f"{time:g} {json.dumps([round(n, 1) for n in found.as_tuple()])}"
