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

_OPTION = re.compile(r"\(([A-Z])\)(.*)")
_REQUEST = re.compile(  # for a letter
    r"\s*(?:please\s+)?(?:answer|choose|select|reply|respond|give)\b.*\b(?:letter|option|choice)",
    re.IGNORECASE,
)


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
    question, options = _split_options(row)
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


def _split_options(row: Row) -> tuple[str, tuple[str, ...]]:
    """The question, and the options that it ends in: from the last line that begins with (A) on.

    What stands between two options belongs to the first of them; so does what stands behind the
    last, up to the request for a letter.
    """
    lines = row.text("text").split("\n")
    openings = [_OPTION.match(line) for line in lines]
    begins = [i for i, match in enumerate(openings) if match and match[1] == "A"]
    if not begins:
        row.fail("there are no options, from a line that begins with (A) on")
    options: list[str] = []
    for line, match in zip(lines[begins[-1] :], openings[begins[-1] :], strict=True):
        if match is None and _REQUEST.match(line):
            break
        if match is None:
            options[-1] += f"\n{line}"
            continue
        due = string.ascii_uppercase[len(options) : len(options) + 1]
        if match[1] != due:
            row.fail(f"option ({match[1]}) where ({due or 'none'}) was due")
        options.append(match[2])
    question = "\n".join(lines[: begins[-1]])
    return question.strip(), tuple(map(str.strip, options))
