"""V*Bench's `test_questions.jsonl`: the same questions with their options shuffled by the authors
and written into the text.

    {"image": "direct_attributes/x.jpg", "category": "direct_attributes", "question_id": 0,
     "text": "What ...?\\n(A) red\\n(B) blue\\nAnswer with the option's letter ...", "label": "A"}

The options are taken out of the text and the request for a letter is dropped, because the prompt
says how to answer. Boxes are not in this file; the folder layout has them (`vstar_folder`).
Source: https://huggingface.co/datasets/craigwu/vstar_bench
"""

from __future__ import annotations

import re
import string
from pathlib import Path

from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, line_rows
from vigorl.data.sources.rows import Row

_OPTION = re.compile(r"^\(([A-Z])\)\s*(.+?)\s*$")


def read_vstar_questions(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> list[TaskRecord]:
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
    question: list[str] = []
    options: list[str] = []
    for line in row.text("text").split("\n"):
        if match := _OPTION.match(line):
            if match[1] != string.ascii_uppercase[len(options)]:
                row.fail(
                    f"option ({match[1]}) where ({string.ascii_uppercase[len(options)]}) was due"
                )
            options.append(match[2])
        elif not options:
            question.append(line)
    label = row.text("label")
    letters = string.ascii_uppercase[: len(options)]
    if len(label) != 1 or label not in letters:
        row.fail(f'"label" must be one of {", ".join(letters) or "no options"}, got {label!r}')
    number = row.values.get("question_id", row.line)
    return row.checked(
        TaskRecord(
            id=str(number),
            question="\n".join(question).strip(),
            answer=options[letters.index(label)],
            images=(row.picture(row.text("image")),),
            options=tuple(options),
            category=row.text("category", default=""),
            source=row.source,
        )
    )
