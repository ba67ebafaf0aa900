"""RoboSpatial-Home: 350 questions for a robot at home (CVPR 2025, arXiv:2411.16537).

Three categories: configuration (123) and compatibility (105) are answered yes or no, context (122)
by a point in free space. Its authors quote the mean of the three. Papers score 350, 228 (yes or no
alone, as ViGoRL says it does), 105 or 123 of them, so each is printed.

A place is asked for in the model family's own frame, in place of the list of shares that the
data's questions ask for; the first point counts, in the polygon of the right answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.polygon import PointInPolygon
from vigorl.core.scoring.yes_no import YesNo
from vigorl.data.sources.files import collect
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

CATEGORIES = ("context", "compatibility", "configuration")
KIND, POINT, YES_NO = "kind", "point", "yes_no"  # the tag and its values
_COLUMNS = ("category", "question", "answer", "img")
_REQUEST = re.compile(r"\s*Your answer should be formatted as a list of tuples.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class RoboSpatialHome(Benchmark):
    """RoboSpatial-Home.

    Attributes:
        file: The tables in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures())
        return collect(table_rows(self.files(self.file), columns=_COLUMNS), make, rules=self.rules)


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    category, answer = row.text("category"), row.text("answer").strip()
    if category not in CATEGORIES:
        row.fail(f'"category" must be one of {", ".join(CATEGORIES)}, got {category!r:.40}')
    kind = POINT if category == "context" else YES_NO
    question, images = row.text("question"), pictures.files(row, "img")
    if kind == POINT:
        question = _REQUEST.sub("", question) + " The answer is one such point, (x, y)."
    scorer = PointInPolygon() if kind == POINT else YesNo()
    return row.checked(
        TaskRecord(
            id=f"{category}:{row.name.removeprefix('row ')}",
            question=question,
            answer=answer,
            images=images,
            scorer=row.scorer(scorer, answer, key="answer", image=images[0]),
            category=category,
            tags={KIND: kind},
            source=row.source,
        )
    )
