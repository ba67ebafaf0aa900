"""HR-Bench 4K and 8K: 200 questions each on large pictures, each asked in four orders of its
options, which the file has written out (arXiv:2408.15556).

The 4K pictures are crops of the 8K ones, so the two scores are never pooled. The four rows of a
question are one cluster: there are 200 questions, not 800.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.option_orders import QUESTION, OptionOrder
from vigorl.evaluation.benchmarks.table import TableBenchmark, whole_sets


@dataclass(frozen=True, kw_only=True)
class HRBench(TableBenchmark):
    """HR-Bench.

    Attributes:
        num_orders: Rows of each question.
    """

    num_orders: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_orders < 1:
            raise ConfigError(f"data.num_orders={self.num_orders!r:.40} must be a number from 1 on")
        if self.option_order is not OptionOrder.AS_WRITTEN:
            raise ConfigError(
                f"data.option_order={self.option_order} has no meaning for {self.name}: its file "
                "has four orders of each question"
            )

    def tasks(self) -> Sequence[TaskRecord]:
        firsts: dict[object, str] = {}
        tasks = []
        for task in super().tasks():
            question = firsts.setdefault((task.images, task.question, task.answer), task.id)
            tags = {**task.tags, QUESTION: question}
            tasks.append(replace(task, cluster=f"question {question}", tags=tags))
        return whole_sets(tasks, by=QUESTION, size=self.num_orders, skip=self.skip_bad_rows)
