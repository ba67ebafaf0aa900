"""What an episode came to, kept on each of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer
from vigorl.evaluation.web.actions import parse_action

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord


class End(StrEnum):
    """Why an episode ended."""

    NONE = ""  # it has not been played
    STOPPED = "stopped"  # the policy said so
    STEPS = "steps"  # the most steps were taken
    UNREADABLE = "unreadable"  # several actions in a row could not be read
    REPEATED = "repeated"  # the same action again and again
    FAULT = "fault"  # the page could not be looked at any more


_IN_WORDS = {
    End.NONE: "not played",
    End.STOPPED: "stopped",
    End.STEPS: "out of steps",
    End.UNREADABLE: "nothing readable any more",
    End.REPEATED: "the same again and again",
    End.FAULT: "page lost",
}


@dataclass(frozen=True, slots=True)
class EpisodeScore(Scorer):
    """Every step of an episode is as right as the episode, whatever the action.

    Attributes:
        success: 1.0 where all checks were passed, else 0.0.
        by_rules: The same where no judge ever says yes.
        num_steps: Actions, the last included.
        num_unreadable: Of them, those that could not be read.
        num_impossible: Those that could not be carried out.
        end: Why it ended.
        fault: What failed in the browser or in a check, if anything did; "" else.
    """

    success: float = 0.0
    by_rules: float = 0.0
    num_steps: int = 0
    num_unreadable: int = 0
    num_impossible: int = 0
    end: str = End.NONE
    fault: str = ""

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        return self.success

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return parse_action(answer) is not None

    def __str__(self) -> str:
        """Such as "stopped after 5 steps, 1 unreadable"."""
        counts = {"unreadable": self.num_unreadable, "impossible": self.num_impossible}
        said = [f"{number} {name}" for name, number in counts.items() if number]
        ending = f"{_IN_WORDS[End(self.end)]} after {self.num_steps} steps"
        return ", ".join([ending, *said, *([self.fault] if self.fault else [])])

    @property
    def numbers(self) -> dict[str, float]:
        """For a report."""
        return {
            "by rules": self.by_rules,
            "steps": float(self.num_steps),
            "unreadable": float(self.num_unreadable),
            "impossible": float(self.num_impossible),
            "stopped": float(self.end == End.STOPPED),
            "faults": float(bool(self.fault)),
        }
