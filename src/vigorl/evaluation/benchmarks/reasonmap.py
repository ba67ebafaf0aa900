"""ReasonMap-Plus: counting and yes-or-no questions on the metro maps of 30 cities
(arXiv:2510.02240).

The file has a number for every answer; what it stands for depends on the type: the option's place
(Counting1), a count (Counting2, Counting3), or no and yes (TorF1, TorF2). Pictures are not in it:
`data.image_root` is the folder that holds `maps/`. Questions on one city are a cluster.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.number import NumberMatch
from vigorl.core.scoring.yes_no import YesNo
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.table import TableBenchmark

_CHOICES = 4


@dataclass(frozen=True, kw_only=True)
class ReasonMapPlus(TableBenchmark):
    """ReasonMap-Plus; its form's `category` is the type."""

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        columns = self.table.columns
        kind, value = row.text(columns.category), str(row.values.get(columns.answer))
        if not value.isdecimal():
            row.fail(f"{columns.answer!r} must be a whole number, got {value!r:.40}")
        number = int(value)
        if kind.startswith("TorF") and number < 2:
            columns = replace(columns, scorer=YesNo())
            answer = ("no", "yes")[number]
        elif kind == "Counting1" and number < _CHOICES:
            columns = replace(columns, options_in_question=True, answer_form="letter")
            answer = string.ascii_uppercase[number]
        elif kind in ("Counting2", "Counting3"):
            columns, answer = replace(columns, scorer=NumberMatch()), value
        else:
            row.fail(f"no question of type {kind!r:.40} has the answer {number}")
        row = replace(row, values={**row.values, columns.answer: answer})
        return (columns.task(row, pictures),)
