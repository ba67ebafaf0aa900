"""What the thoughts say of the picture, against a list of what is true of it, and repetition.

A task lists its facts in the tag "facts" ("red disc; vertical") and what is false in the tag
"false_facts". Without them the facts are the words of the answer, what is false the words of the
other options; words that all options share are neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.errors import NoScoreError
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.unit import UnitReward, check_positive, check_shares
from vigorl.core.rewards.words import said_by, says, tag_list, thoughts_of, words_of
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualFactsReward(UnitReward):
    """Share of the facts that the thoughts state, less the share of the false ones; at least 0.

    In a drawn world a fact is found as its words, one after the other; elsewhere by a judge, whose
    probe gives the share of the facts. The paper's judge reads the whole response and checks only
    presence, so that stating everything pays; and the answer is left out here, since it holds a
    fact itself.

    Attributes:
        false_weight: What all false facts together cost; the paper 0.
        probe: Name of the judge's probe; None finds words.
    Raises:
        NoScoreError: At a call: the judge gave no reply, or was not asked, as in evaluations.
        ValueError: At a call: the task has no facts.
    Source: Perception-R1, arXiv:2506.07218; tongxiao2002/Perception-R1@c47eaf2,
        verl/utils/reward_score/math_with_visual.py.
    """

    false_weight: float = 0.0
    probe: str | None = None
    name: str = "visual_facts"

    def __post_init__(self) -> None:
        check_shares(self.name, false_weight=self.false_weight)

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        return () if self.probe is None else (self.probe,)

    def __call__(self, rollout: Rollout) -> float:
        if self.probe is not None:
            return self._judged(rollout, self.probe)
        true, false = facts_of(rollout.task)
        if not true:
            raise ValueError(f"reward {self.name!r}: task {rollout.task.id!r} has no facts")
        said = thoughts_of(rollout)
        return max(share_said(said, true) - self.false_weight * share_said(said, false), 0.0)

    def _judged(self, rollout: Rollout, probe: str) -> float:
        if probe not in rollout.probes:
            raise NoScoreError(f"reward {self.name!r}: probe {probe!r} says nothing")
        return rollout.probes[probe]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionReward(UnitReward):
    """Share of the n-grams of words that were said before: 1 - distinct / all; give it a negative
    weight.

    Attributes:
        num_words: n; a text shorter than that repeats nothing.
    Source: as `VisualFactsReward`, whose release has n = 20 and the weight -2.
    """

    num_words: int = 20
    name: str = "repetition"

    def __post_init__(self) -> None:
        check_positive(self.name, num_words=self.num_words)

    def __call__(self, rollout: Rollout) -> float:
        words, n = words_of(said_by(rollout)), self.num_words
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return 1 - len(set(grams)) / len(grams) if grams else 0.0


@dataclass(frozen=True, slots=True)
class TrueWords:
    """Share of the stated facts that are true, in [0, 1]; 0.0 where none is stated.

    In the drawn world it stands for a model that embeds texts and pictures
    (`consistency.TextJudge`).
    """

    def __call__(self, text: str, rollout: Rollout) -> float:
        true, false = facts_of(rollout.task)
        right = sum(says(text, fact) for fact in true)
        wrong = sum(says(text, fact) for fact in false)
        return right / (right + wrong) if right else 0.0


def facts_of(task: TaskRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is true of the task's picture, and what is false, without repeats."""
    options = [set(words_of(option)) for option in task.options]
    shared = set.intersection(*options) if len(options) > 1 else set[str]()
    answer = [word for word in words_of(task.answer) if word not in shared]
    others = {word for option in options for word in option} - shared - {*answer}
    true = tag_list(task, "facts") or answer
    false = tag_list(task, "false_facts") or sorted(others)
    return tuple(dict.fromkeys(true)), tuple(dict.fromkeys(false))


def share_said(text: str, facts: tuple[str, ...]) -> float:
    """Share of the facts that a text states; 0.0 where there are none."""
    return sum(says(text, fact) for fact in facts) / len(facts) if facts else 0.0
