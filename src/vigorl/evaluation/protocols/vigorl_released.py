"""protocol=vigorl_released: answers as ViGoRL's released evaluation judges them, false credits
included, for comparison with its numbers; never beside those of another protocol.

A text is right where it equals the right one or HOLDS it, both without case, blanks and marks: "not
red" is "red", "10" is 1, "I do not know" is "no", "-5" is 5. A point is two integers in a box of
integers. An action is judged by words that occur in it, and typed text with a blank in it is wrong.
Every thought needs its tags, or nothing is right.

Not theirs: a point is mapped to the picture file's pixels before its box is asked. What the
released code has no judge for is judged by the task's scorer.

Source: Gabesarch/grounded-rl@e7970c0, src/vlmsearch/reward_funcs/judge.py and
tree_search/single_path_rollouts.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.rewards.released import hits_box
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.action import ActionMatch
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.text import TextMatch
from vigorl.core.scoring.web_step import WebStep
from vigorl.core.trace import ANSWER, END_ANSWER, END_THINK, THINK
from vigorl.evaluation.judging import Judging

_REMOVED = str.maketrans(dict.fromkeys(".?!,;:'\"()[]{}<>/\\|=+-_*&^%$#@`~ "))


@dataclass(frozen=True)
class VigorlReleased(Judging):
    """The released judges of texts, points and web actions.

    Attributes:
        thoughts: Whether turns before the last need think tags, as the released loop asks of every
            thought.
    """

    thoughts: bool = True

    def answer(self, rollout: Rollout) -> str | None:
        """Behind the first answer tag of the last turn; None where there is none, or where a turn
        before it has no thought.
        """
        if self.thoughts and not all(_has_thought(turn.text) for turn in rollout.turns[:-1]):
            return None
        _, tag, rest = rollout.turns[-1].text.partition(ANSWER)
        return rest.split(END_ANSWER)[0].strip() if tag else None

    def score(self, rollout: Rollout) -> float:
        answer, task = self.answer(rollout), rollout.task
        if answer is None:
            return 0.0
        if isinstance(task.scorer, PointInBox):
            return float(hits_box(answer, task.scorer, rollout))
        if isinstance(task.scorer, ActionMatch | WebStep):
            return float(is_released_action(answer, task.answer))
        if isinstance(task.scorer, TextMatch):
            return float(holds_text(answer, task.answer))
        return task.score(answer, view=next(iter(rollout.prompt_views), None))

    def is_readable(self, rollout: Rollout) -> bool:
        return self.answer(rollout) is not None


def holds_text(answer: str, right: str) -> bool:
    """`_string_matching`."""
    return right.lower().translate(_REMOVED) in answer.strip().translate(_REMOVED).lower()


def is_released_action(answer: str, right: str) -> bool:
    """`_web_action`: right words that occur; typed text of several words never does."""
    answer, right = answer.strip().lower(), right.strip().lower()
    for alone in ("go_back", "stop", "scroll"):
        if alone in answer:
            return alone in right
    for verb, num_parts in (("click", 2), ("type", 3)):
        if verb in answer:
            parts = answer.split(" ")
            return len(parts) == num_parts and verb in right and parts[1].strip() in right
    return False


def _has_thought(text: str) -> bool:
    return THINK in text and END_THINK in text
