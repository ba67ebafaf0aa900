"""Worked solutions to the questions that a run asks, by question: what `training.guests` lets join
the policy's own answers, and `training.sft_mix` learns beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.data.faults import Rules
from vigorl.data.sources.sft_json import read_sft_json


class Answers(Protocol):
    """Where solutions come from."""

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        """Raises DataError where one of them has no solution; called before the first is asked."""
        ...

    def of(self, task: TaskRecord) -> TraceRecord:
        """The solution of a question, under the run's own prompt; the same each time.

        Raises:
            DataError: There is none.
        """
        ...


@dataclass(frozen=True, kw_only=True)  # no slots: the file is read once
class TraceFile:
    """Solutions of a file in the released SFT format, matched by the id of their question; an
    `Answers`. Of several to a question the first is taken.

    Attributes:
        path: The file; see `data.sources.sft_json`.
        image_root: Where its picture names start; the file's own folder when None.
    """

    path: str
    image_root: str | None = None

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        tasks = list(tasks)
        if missing := [task.id for task in tasks if task.id not in self._by_id]:
            raise DataError(
                f"no solution of {len(missing)} of {len(tasks)} training questions, such as "
                f"{missing[0]!r}: add it, under that id, or leave the question out",
                path=self.path,
            )

    def of(self, task: TaskRecord) -> TraceRecord:
        self.check([task])
        return replace(self._by_id[task.id], task=task)

    @cached_property
    def _by_id(self) -> dict[str, TraceRecord]:
        rules = Rules(pictures_anywhere=True)  # as data=traces: a search's chains name them so
        found = read_sft_json(self.path, image_root=self.image_root, keep_system=False, rules=rules)
        return {record.task.id: record for record in reversed(found)}
