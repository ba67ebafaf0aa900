"""Short questions with answers that rules can judge, about what must be seen to answer a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import STRIPES
from vigorl.data.scenes.questions import ATTRIBUTE, COMPARISON

_COMPARED = re.compile(r"Compare the stripes on the (.+) and the (.+)\.")


class Checklist(Protocol):
    """The sub-questions of a task; none where it has none."""

    @property
    def most(self) -> int | None:
        """Of one task at most; None where the data decide."""
        ...

    def __call__(self, task: TaskRecord) -> Sequence[TaskRecord]: ...


@dataclass(frozen=True, slots=True)
class TaggedChecklist:
    """Those that the data brings, in a tag of the task: "What is on the left? => a cup; ...".

    Attributes:
        tag: Its name.
    Raises:
        ConfigError: No name.
    """

    tag: str = "checklist"

    def __post_init__(self) -> None:
        if not self.tag:
            raise ConfigError("probes.checklist.items.tag must not be empty")

    @property
    def most(self) -> None:
        return None

    def __call__(self, task: TaskRecord) -> list[TaskRecord]:
        """The sub-questions.

        Raises:
            DataError: One without "=>", or without an answer.
        """
        items = [item.strip() for item in task.tags.get(self.tag, "").split(";") if item.strip()]
        return [self._read(item, number, task) for number, item in enumerate(items)]

    def _read(self, item: str, number: int, task: TaskRecord) -> TaskRecord:
        question, arrow, answer = (part.strip() for part in item.partition("=>"))
        if not (arrow and question and answer):
            raise DataError(
                f"task {task.id}: tag {self.tag!r} must list 'question => answer; ...', "
                f"got {item!r}",
                path=task.source or None,
            )
        return TaskRecord(
            id=f"{task.id}/{number}",
            question=question,
            answer=answer,
            images=task.images,
            source=task.source,
        )


@dataclass(frozen=True, slots=True)
class SignChecklist:
    """In the drawn world: each sign that is asked about, as a question of its own. Other tasks have
    none.
    """

    @property
    def most(self) -> int:
        return 2

    def __call__(self, task: TaskRecord) -> list[TaskRecord]:
        if task.category == ATTRIBUTE:
            return [replace(task, id=f"{task.id}/0")]
        asked = _COMPARED.fullmatch(task.question)
        if task.category != COMPARISON or asked is None:
            return []
        answers = task.answer.split(" and ")
        return [
            TaskRecord(
                id=f"{task.id}/{number}",
                question=f"How do the stripes on the {name} run?",
                answer=answer,
                images=task.images,
                options=STRIPES,
                targets=(target,),
                category=ATTRIBUTE,
                source=task.source,
            )
            for number, (name, answer, target) in enumerate(
                zip(asked.groups(), answers, task.targets, strict=True)
            )
        ]
