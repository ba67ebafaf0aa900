"""Right is a list of items, in part or in whole: "red disc: vertical; blue square: rising"."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_BETWEEN = re.compile(r"[;\n]")


@dataclass(frozen=True, slots=True)
class ItemsMatch(Scorer):
    """Right items / max(items given, items of the task's answer), in [0, 1].

    Items stand apart by ";" or a new line; case, blanks and a last full stop do not matter. Each
    item of the right answer counts once, so repeats and guesses only lengthen the list.

    Attributes:
        is_ordered: An item counts only at its place in the list.
    """

    is_ordered: bool = False

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        right = split_items(task.answer)
        if not right:
            raise ValueError(f"task {task.id}: a list needs items, got {task.answer!r:.80}")
        given = _given(answer or "")
        if self.is_ordered:
            same = sum(a == b for a, b in zip(given, right, strict=False))
        else:
            same = (Counter(given) & Counter(right)).total()
        return same / max(len(given), len(right))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(_given(answer))


def _given(answer: str) -> list[str]:
    """The items of an answer without its wrapping, which would join its lines."""
    return split_items(unwrapped(answer.replace("\n", ";")))


def split_items(text: str) -> list[str]:
    """The items of a list in order, in lower case, without needless blanks.

    >>> split_items("Red disc:  vertical; blue square: rising.")
    ['red disc: vertical', 'blue square: rising']
    """
    items = (" ".join(item.lower().split()).strip(" .") for item in _BETWEEN.split(text))
    return [re.sub(r"\s*([,:])\s*", r"\1 ", item) for item in items if item]
