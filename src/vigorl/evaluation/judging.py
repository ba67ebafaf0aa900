"""How a finished rollout is read and scored.

The policy's own protocol judges what stands between the answer tags by the task's scorer. Other
protocols read whole replies, each in its own way; rollouts that are kept can be judged again under
another one, without asking the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vigorl.core.rollout import Rollout
from vigorl.data.plain import path_of, to_plain


class Judging(ABC):
    """A way to read and score rollouts; a frozen dataclass of its settings."""

    @abstractmethod
    def answer(self, rollout: Rollout) -> str | None:
        """What is taken for the answer; None where there is none."""

    @abstractmethod
    def score(self, rollout: Rollout) -> float:
        """How right it is, in [0, 1]."""

    @abstractmethod
    def is_readable(self, rollout: Rollout) -> bool:
        """Whether there is an answer of the kind asked for, right or wrong."""

    def ask(self, rollouts: Sequence[Rollout]) -> None:
        """Find out, before they are scored, what scores will need; for those who must ask."""
        return

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        """Further numbers of a rollout, for its question's outcome."""
        return {}

    def settings(self) -> dict[str, Any]:
        """For the protocol: JSON values."""
        return {"_target_": path_of(type(self)), **to_plain(self)}


@dataclass(frozen=True)
class AsTrained(Judging):
    """What stands between the answer tags, by the task's own scorer."""

    def answer(self, rollout: Rollout) -> str | None:
        return rollout.answer

    def score(self, rollout: Rollout) -> float:
        return rollout.score

    def is_readable(self, rollout: Rollout) -> bool:
        answer, view = rollout.answer, next(iter(rollout.prompt_views), None)
        if answer is None or view is None:
            return False
        return rollout.task.scorer.has_form(answer, view=view)
