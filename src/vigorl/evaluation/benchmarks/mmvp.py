"""MMVP: 150 pairs of pictures that CLIP takes for the same, and one question for both of each pair
(arXiv:2401.06209).

A pair counts where both of its questions are right, so chance is 25 %. Pairs are told by the
index, not by the order of rows, which a missing row would shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.records import TaskRecord
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.table import TableBenchmark, whole_sets

PAIR = "pair"

# The labels of two pairs are swapped in the released file. These are the right ones, as looked up
# on the pictures in github.com/tsb0601/MMVP, issues 14 and 30; re-hosted files have them already.
_CORRECTED = {"99": "(b)", "100": "(a)", "279": "(b)", "280": "(a)"}


@dataclass(frozen=True, kw_only=True)
class Mmvp(TableBenchmark):
    """MMVP; its form's `id` is the index, from 1.

    Attributes:
        corrected_labels: The swapped labels are set right; without, a perfect model gets 148 pairs.
    """

    corrected_labels: bool = True

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        columns = self.table.columns
        index = str(row.values.get(columns.id))
        if not index.isdecimal():
            row.fail(f"{columns.id!r} must be a number from 1 on, got {index!r:.40}")
        if self.corrected_labels and index in _CORRECTED:
            row = replace(row, values={**row.values, columns.answer: _CORRECTED[index]})
        pair = str((int(index) + 1) // 2)
        task = columns.task(row, pictures)
        return (replace(task, cluster=f"pair {pair}", tags={**task.tags, PAIR: pair}),)

    def tasks(self) -> Sequence[TaskRecord]:
        return whole_sets(super().tasks(), by=PAIR, size=2, skip=self.skip_bad_rows)
