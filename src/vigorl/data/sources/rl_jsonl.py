"""The released RL data: one task per line, pictures named relative to a root.

    {"problem": "<image>What ...?", "answer": "red", "images": ["images/a.jpg"]}

Optional keys of our own: "id"; "options"; "category"; "tags" (texts by name); and the boxes that
must be seen, ORIGINAL pixels, either as "targets" ([[left, top, right, bottom], ...]) or as V*Bench
spells them, "bbox" ([[x, y, width, height], ...]). Videos may stand under "videos" instead, as in
EasyR1, or among the pictures; they are shown by their frames (`data.frames`). Other keys are
ignored. How answers are judged the file does not say; where it is by a box to hit, the answer is
that box as text, "(x1, y1, x2, y2)".
Source: `verl/utils/dataset.py` and `examples/config.yaml` of the released code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, line_rows, write_lines
from vigorl.data.sources.rows import Row, numbers, relative_name, root_of


def read_rl_jsonl(
    path: str | Path,
    *,
    scorer: Scorer | None = None,
    image_root: str | Path | None = None,
    rules: Rules = STRICT,
) -> Sequence[TaskRecord]:
    """Every line as a task.

    Args:
        path: The JSONL file.
        scorer: Judges this file's answers; by their text when None.
        image_root: Where its picture names start; the file's own folder when None.
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and line: a missing key or picture, slots that do not fit the pictures,
            an answer that is not among the options, or a box off the picture.
    """
    make = partial(_record, scorer=scorer or TextMatch())
    return collect(line_rows(path, image_root=image_root), make, rules=rules)


def _record(row: Row, *, scorer: Scorer) -> TaskRecord:
    videos = row.texts("videos", is_required=False)
    images = (*row.texts("images", is_required=not videos), *videos)
    images = tuple(map(row.picture, images))
    if not images:
        row.fail('"images" is empty; a task has at least one picture')
    question, answer = row.text("problem"), row.text("answer")
    return row.checked(
        TaskRecord(
            id=row.identity(),
            question=question,
            answer=answer,
            images=images,
            scorer=row.scorer(scorer, answer, key="answer", image=images[0]),
            options=row.options(answer),
            targets=read_targets(row, images[0]),
            category=row.text("category", default=""),
            tags=row.tags(),
            source=row.source,
        )
    )


def read_targets(row: Row, image: str) -> tuple[Box, ...]:
    """The boxes under "targets" (xyxy) or "bbox" (xywh); none when the row has neither."""
    if "targets" in row.values and "bbox" in row.values:
        row.fail('has both "targets" and "bbox"; keep one')
    if "targets" in row.values:
        return row.boxes("targets", form="xyxy", on=row.picture_size(image))
    if "bbox" in row.values:
        return row.boxes("bbox", form="xywh", on=row.picture_size(image))
    return ()


def write_rl_jsonl(
    records: Iterable[TaskRecord], path: str | Path, *, image_root: str | Path | None = None
) -> None:
    """Write tasks so that `read_rl_jsonl` gives them back (all but `source`)."""
    root = root_of(path, image_root)
    rows = ({"problem": r.question, **task_columns(r, root=root)} for r in records)
    write_lines(Path(path), rows)


def task_columns(record: TaskRecord, *, root: Path) -> dict[str, Any]:
    """Everything of a task but its question; optional keys only where there is something to say."""
    columns: dict[str, Any] = {
        "id": record.id,
        "answer": record.scorer.answer_text(record.answer),
        "images": [relative_name(image, root=root) for image in record.images],
    }
    if record.options:
        columns["options"] = list(record.options)
    if record.targets:
        columns["targets"] = [numbers(box, form="xyxy") for box in record.targets]
    if record.category:
        columns["category"] = record.category
    if record.tags:
        columns["tags"] = dict(record.tags)
    return columns
