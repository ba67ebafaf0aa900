"""RealWorldQA: 765 questions on photographs, most with options inside the question, others open
(x.ai, 2024).

The categories say which are which: "options" and "open", the latter a word or a number, also as a
word ("two"). VLMEvalKit's table has made options for all rows, and has lost some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.records import TaskRecord
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.table import TableBenchmark


@dataclass(frozen=True, kw_only=True)
class RealWorldQa(TableBenchmark):
    """RealWorldQA."""

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        (task,) = super().tasks_of(row, pictures)
        return (replace(task, category="options" if task.options else "open"),)
