r"""MATH-Vision: 3,040 competition problems with a picture (NeurIPS 2024, arXiv:2402.14804).

Half have five options, which in 384 problems are letters alone because they are drawn in the
picture, so their order stays; half are open. Problems that name several pictures have one file,
pasted together. The last balanced "\boxed{}" counts, by letter or by value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.math import MathMatch
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

_SLOT = re.compile(r"\s*<image\d+>")
_IN_PICTURE = "Answer the question that is written in the picture."


@dataclass(frozen=True, kw_only=True)
class MathVision(Benchmark):
    """MATH-Vision; the category is the subject, the tag "level" is 1 to 5.

    Attributes:
        file: The problems in the download, a glob pattern: Parquet that holds the pictures, or
            JSONL that names them.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures(index="id"))
        rows = table_rows(self.files(self.file), root=self.folder)
        return collect(rows, make, rules=self.rules)


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    written = row.texts("options")
    answer = row.text("answer").replace("\f", "\\f").strip()  # one real row holds "\x0crac{36}{13}"
    if written:
        answer = answer_of(row, answer, written, key="answer")
    column = "decoded_image" if row.values.get("decoded_image") else "image"
    return row.checked(
        TaskRecord(
            id=row.identity(is_required=True),
            question=_without_slots(row.text("question")),
            answer=answer,
            images=pictures.files(row, column),
            scorer=MathMatch(),
            options=distinct(row, written),
            category=row.text("subject"),
            tags={"level": str(row.count("level"))},
            source=row.source,
        )
    )


def _without_slots(question: str) -> str:
    """Without "<image1>" where there is no other: the picture stands before the text. Several name
    the parts of the one picture that there is. One real problem is all in its picture.
    """
    slots = set(_SLOT.findall(question))
    asked = _SLOT.sub("", question).strip() if len(slots) == 1 else question.strip()
    return asked or _IN_PICTURE
