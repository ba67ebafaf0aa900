"""MMMU, validation: 900 college questions of 30 subjects (CVPR 2024, arXiv:2311.16502).

30 questions a subject, so the mean of questions is the mean of subjects. Up to seven pictures, in
order before the text, where "<image 1>" names the first. Nothing is guessed for an answer that
cannot be read (both kits draw a letter). Labels were corrected in place in 2026-07 (Design_15,
Art_Theory_4): name the revision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.one_of import MmmuOpen
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.option_texts import parse_list
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

PICTURES = tuple(f"image_{number}" for number in range(1, 8))
_COLUMNS = (
    *PICTURES, "id", "question", "options", "answer", "question_type", "topic_difficulty",
)  # fmt: skip
_ID = re.compile(r"(?:validation|dev|test)_(.+)_\d+")


@dataclass(frozen=True, kw_only=True)
class Mmmu(Benchmark):
    """MMMU; the category is the subject.

    Attributes:
        file: The tables in the download, a glob pattern.
        open_scorer: Judges open questions; the benchmark's own rule unless another is given.
    """

    file: str
    open_scorer: Scorer = field(default_factory=MmmuOpen)

    def tasks(self) -> Sequence[TaskRecord]:
        pictures = Pictures(index="id")
        make = partial(_task, pictures=pictures, open_scorer=self.open_scorer)
        return collect(table_rows(self.files(self.file), columns=_COLUMNS), make, rules=self.rules)


def _task(row: Row, *, pictures: Pictures, open_scorer: Scorer) -> TaskRecord:
    name, answer = row.text("id"), row.text("answer").strip()
    match = _ID.fullmatch(name)
    if match is None:
        row.fail(f'"id" must be such as validation_Art_1, got {name!r:.60}')
    images = tuple(path for column in PICTURES for path in pictures.files(row, column))
    if not images:
        row.fail("the row has no picture")
    options, scorer = _options(row), open_scorer
    if row.text("question_type") == "multiple-choice":
        answer, scorer = answer_of(row, answer, options, key="answer"), TextMatch()
    elif options:
        row.fail("an open question has options")
    return row.checked(
        TaskRecord(
            id=name,
            question=row.text("question").strip(),
            answer=answer,
            images=images,
            scorer=row.scorer(scorer, answer, key="answer", image=images[0]),
            options=distinct(row, options),
            category=match[1],
            tags={
                "difficulty": row.text("topic_difficulty"),
                "question_type": row.text("question_type"),
            },
            source=row.source,
        )
    )


def _options(row: Row) -> tuple[str, ...]:
    """The list that stands there as a text; "None" is the text of an option."""
    try:
        return tuple(map(str, parse_list(row.text("options").strip() or "[]")))
    except ValueError as error:
        row.fail(f'"options" {error}')
