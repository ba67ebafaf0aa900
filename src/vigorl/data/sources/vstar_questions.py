"""V*Bench's `test_questions.jsonl`: the same questions with their options shuffled by the authors
and written into the text.

    {"image": "direct_attributes/x.jpg", "category": "direct_attributes", "question_id": 0,
     "text": "What ...?\\n(A) red\\n(B) blue\\nAnswer with the option's letter ...", "label": "A"}

The options are taken out of the text and the request for a letter is dropped, because the prompt
says how to answer. Boxes are not in this file; the folder layout has them (`vstar_folder`).
Source: https://huggingface.co/datasets/craigwu/vstar_bench
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, line_rows
from vigorl.data.sources.option_texts import split_options
from vigorl.data.sources.rows import Row


def read_vstar_questions(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every line as a task, options in the file's order.

    Args:
        path: The JSONL file.
        image_root: Where its picture names start; the file's own folder when None.
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and line: a missing key or picture, options that are not (A), (B), ...
            in order, or an unknown label.
    """
    return collect(line_rows(path, image_root=image_root), _record, rules=rules)


def _record(row: Row) -> TaskRecord:
    try:
        question, options = split_options(row.text("text"))
    except ValueError as error:
        row.fail(str(error))
    if not options:
        row.fail("there are no options, from a line that begins with (A) on")
    label = row.text("label")
    letters = string.ascii_uppercase[: len(options)]
    if len(label) != 1 or label not in letters:
        row.fail(f'"label" must be one of {", ".join(letters)}, got {label!r:.40}')
    return row.checked(
        TaskRecord(
            id=row.identity(key="question_id") if "question_id" in row.values else str(row.line),
            question=question,
            answer=options[letters.index(label)],
            images=(row.picture(row.text("image")),),
            options=options,
            category=row.text("category", default=""),
            source=row.source,
        )
    )
