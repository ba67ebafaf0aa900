"""Another right answer than the data has, such as the one that most tries agree on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vigorl.core.scoring.one_of import OneOf

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord


def with_answer(task: TaskRecord, answer: str) -> TaskRecord:
    """The question as if this were its right answer, and the only one.

    Raises:
        ValueError: No right answer is written so.
    """
    scorer = task.scorer.for_answer(answer)
    if isinstance(scorer, OneOf):
        scorer = replace(scorer, accepted=())
    return replace(task, answer=answer, scorer=scorer)
