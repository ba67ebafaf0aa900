"""BLINK's validation set: 14 tasks that people solve at a glance (ECCV 2024, arXiv:2404.12390).

Quoted by the mean of the 14 tasks, as its authors do; the mean of the questions, which VLMEvalKit
prints, is another number. Up to four pictures per question, in order. Read from the authors'
Parquet, VLMEvalKit's TSV, or the conversations of the ViGoRL release, whose pictures are pasted
together.

Until 2025-09 the answers of Relative_Reflectance belonged to other questions (in VLMEvalKit's TSV
until 2026-05; github.com/zeyofu/BLINK_Benchmark, issue 13): scores from before are noise on 134 of
1,901 questions. Those answers are known by their digest, and refused. A file in another order, or a
part of one, cannot be told.
"""

from __future__ import annotations

import hashlib
import logging
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.sources.conversations import read_conversations
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

REFLECTANCE, NUM_REFLECTANCE = "Relative_Reflectance", 134
OLD_LABELS = "4fb892cf7d48028086ee5b7e9a04ce46f0ae71ed35888278e47b9b783841e25c"  # val_answers.json
PICTURES = tuple(f"image_{number}" for number in range(1, 5))
_PARQUET = (*PICTURES, "idx", "question", "sub_task", "choices", "answer")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Blink(Benchmark):
    """BLINK; the category is the task.

    Attributes:
        file: The tables in the download, a glob pattern: Parquet, a TSV, or JSONL of conversations.
        old_labels: Ask with the wrong answers of before 2025-09, for a comparison with old scores.
    """

    file: str
    old_labels: bool = False

    def tasks(self) -> Sequence[TaskRecord]:
        files = self.files(self.file)
        if files[0].suffix == ".jsonl":
            read = partial(read_conversations, image_root=self.folder, rules=self.rules)
            return self._current([_named(one) for path in files for one in read(path)])
        pictures = Pictures()
        make = _row if files[0].suffix == ".parquet" else _tsv_row
        columns = _PARQUET if make is _row else None
        rows = table_rows(files, columns=columns)
        return self._current(collect(rows, partial(make, pictures=pictures), rules=self.rules))

    def _current(self, tasks: Sequence[TaskRecord]) -> Sequence[TaskRecord]:
        """The tasks, unless their answers are the wrong ones."""
        asked = [task for task in tasks if task.category == REFLECTANCE]
        asked.sort(key=lambda task: int(task.id.rpartition("_")[2]))
        labels = "".join(string.ascii_uppercase[one.options.index(one.answer)] for one in asked)
        is_old = hashlib.sha256(labels.encode()).hexdigest() == OLD_LABELS
        if is_old and not self.old_labels:
            raise ConfigError(
                f"data.root={self.root!r} holds BLINK with the answers to {REFLECTANCE} that its "
                "authors replaced in 2025-09, since they were wrong; get it again by\n"
                f"    {self.download}\n(data.old_labels=true asks with them all the same)"
            )
        if not is_old and len(asked) != NUM_REFLECTANCE and asked:
            _LOG.warning(
                "%d of %d questions of %s: whether they have the wrong answers of before 2025-09 "
                "cannot be told", len(asked), NUM_REFLECTANCE, REFLECTANCE,
            )  # fmt: skip
        return tasks


def _row(row: Row, *, pictures: Pictures) -> TaskRecord:
    options = row.texts("choices")
    images = tuple(path for column in PICTURES for path in pictures.files(row, column))
    return _checked(row, row.text("idx"), options, images, row.text("sub_task"))


def _tsv_row(row: Row, *, pictures: Pictures) -> TaskRecord:
    """Letters with a text are options; the number behind the task's name is the row's."""
    cells = (row.text(letter, default="") for letter in "ABCDEF")
    options, task = tuple(filter(None, cells)), row.text("category")
    name = f"{task}_{row.text('index')}"
    return _checked(row, name, options, pictures.files(row, "image"), task)


def _checked(
    row: Row, name: str, options: tuple[str, ...], images: tuple[str, ...], task: str
) -> TaskRecord:
    if not images:
        row.fail("the row has no picture")
    return row.checked(
        TaskRecord(
            id=name,
            question=row.text("question"),
            answer=answer_of(row, row.text("answer"), options, key="answer"),
            images=images,
            options=options,
            category=task,
            source=row.source,
        )
    )


def _named(task: TaskRecord) -> TaskRecord:
    """A conversation, whose id is all that names its task: "val_Counting_1"."""
    match = re.fullmatch(r"(?:val_)?(.+)_(\d+)", task.id)
    if match is None:
        raise ConfigError(f"{task.source}: the id {task.id!r} is not such as val_Counting_1")
    return replace(task, category=match[1])
