"""MME-RealWorld, its Chinese and its short version: questions on large pictures with five options,
the last "the image does not feature ..." (arXiv:2408.13257).

Categories are task and domain ("Perception/Remote Sensing"). It is quoted by the share of right
answers (Avg) and by the mean of the categories (Avg-C), perception and reasoning apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.records import TaskRecord
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.table import TableBenchmark


@dataclass(frozen=True, kw_only=True)
class MmeRealWorld(TableBenchmark):
    """MME-RealWorld; a task's tag "task" is Perception or Reasoning."""

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        (task,) = super().tasks_of(row, pictures)
        kind, _, domain = task.category.partition("/")
        if not domain:
            row.fail(f"its category must be task/domain, got {task.category!r:.60}")
        return (replace(task, tags={**task.tags, "task": kind}),)
