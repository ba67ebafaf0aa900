"""Solutions with planted errors, so that what a critic should find is known (Critic-V)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from vigorl.core.records import TaskRecord, TraceRecord


@dataclass(frozen=True, slots=True)
class Flawed:
    """A solution and two critiques of it.

    Attributes:
        solution: With errors, or without.
        better: Names exactly what is wrong.
        worse: Does not.
        overlap: `set_overlap` of what the worse one names with what is wrong, in [0, 1).
    """

    solution: TraceRecord
    better: str
    worse: str
    overlap: float = 0.0


class Flaws(Protocol):
    """Where such solutions come from."""

    def of(self, task: TaskRecord) -> Flawed:
        """That of a question, under the run's own prompt; the same each time."""
        ...


def set_overlap(found: Collection[str], true: Collection[str]) -> float:
    """Jaccard index of the errors that a critique names and those there are; 1.0 where there are
    none on both sides.

    Source: Critic-V, arXiv:2411.18203, the part of its score that rules give; beside it there is
        alpha x a score by GPT-4o, which is left out (alpha was not found).
    """
    both, either = set(found) & set(true), set(found) | set(true)
    return len(both) / len(either) if either else 1.0
