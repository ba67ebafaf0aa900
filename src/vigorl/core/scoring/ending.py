"""Right is the text of the right option, with or without words that some files put behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_BY_TEXT = TextMatch()


@dataclass(frozen=True, slots=True)
class WithoutEnding(Scorer):
    """As `TextMatch`, for an answer whose ending is left out first.

    Attributes:
        ending: Such as " in the first frame", which the right answers of SAT-2 have and its options
            have not; so a policy that learnt from them may say it too.
    """

    ending: str

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        return _BY_TEXT.score(None if answer is None else self.strip(answer), task)

    def strip(self, text: str) -> str:
        """A text without the ending, whatever its case and the full stop behind it."""
        bare = text.strip().rstrip(".")
        if not bare.casefold().endswith(self.ending.casefold()):
            return text.strip()
        return bare[: -len(self.ending)].strip()
