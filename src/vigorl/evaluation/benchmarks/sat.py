"""SAT's real test set: 150 questions on how things and cameras move (arXiv:2412.07755).

Both stored forms are read, the authors' (`array/SAT`: SAT_test.parquet) and the re-hosted one of
lmms-eval (`nv-njb/SAT`, options shuffled). The authors ask each question in both orders of its two
options: both count here, and so does getting both right. "SAT-2 test" of the ViGoRL paper is
another, synthetic set (configs/benchmark/sat2.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.ending import WithoutEnding
from vigorl.data.sources.files import collect
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

COLUMNS = ("image_bytes", "question", "answers", "question_type", "correct_answer")
IN_THE_FIRST_FRAME = WithoutEnding(" in the first frame")  # of right answers; options lack it


@dataclass(frozen=True, kw_only=True)
class Sat(Benchmark):
    """SAT's real test set; the category is the type of question.

    Attributes:
        file: The table in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures())
        return collect(table_rows(self.files(self.file), columns=COLUMNS), make, rules=self.rules)


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    options, answer = row.texts("answers"), row.text("correct_answer").strip()
    options = tuple(map(IN_THE_FIRST_FRAME.strip, options))
    answer = IN_THE_FIRST_FRAME.strip(answer)
    if answer not in options:
        row.fail(f'"correct_answer" {answer!r:.80} is none of "answers": {list(options)!s:.200}')
    name = f"{row.path.stem}:{row.name.removeprefix('row ')}"
    return row.checked(
        TaskRecord(
            id=name,
            question=row.text("question"),
            answer=answer,
            images=pictures.files(row, "image_bytes"),
            scorer=IN_THE_FIRST_FRAME,
            options=options,
            category=row.text("question_type"),
            cluster=name,
            source=row.source,
        )
    )
