"""The answer that most of several samples give.

Source: self-consistency, arXiv:2203.11171 (plain votes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vigorl.core.ranges import AtLeastTwo, Positive, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.text import is_same_answer, option_index
from vigorl.rollout.inference.rule import InferenceRule, Ruling

if TYPE_CHECKING:
    from vigorl.rollout.environment import Environment


@dataclass(frozen=True, kw_only=True)
class SeveralSamples(InferenceRule):
    """Base of rules that choose among samples.

    Attributes:
        num_answers: Sampled for each answer.
        temperature: At which they are sampled, whatever env.eval_temperature says.
    """

    num_answers: AtLeastTwo = 5
    temperature: Positive = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, "inference")

    @property
    def num_candidates(self) -> int:
        return self.num_answers

    def settings(self) -> dict[str, Any]:
        return {
            "rule": type(self).__name__,
            "num_answers": self.num_answers,
            "temperature": self.temperature,
        }

    def sampled(self, environment: Environment) -> Environment:
        return environment.exploring(temperature=self.temperature, noise=None)


@dataclass(frozen=True, kw_only=True)
class Majority(SeveralSamples):
    """The first of the samples whose answer has the most votes. Of answers with as many votes it is
    the one that was given first; a sample without an answer has no vote, and where none has one the
    first sample stands.

    Answers are the same where the task's scorer calls one right if the other is (numbers, formulas,
    yes and no, options), else where their texts are; the right answer is not looked at.
    """

    def rulings(
        self, groups: Sequence[Sequence[Rollout]], replies: Sequence[Rollout | None]
    ) -> list[Ruling]:
        return [vote(group) for group in groups]


def vote(group: Sequence[Rollout]) -> Ruling:
    """The ruling of a majority."""
    parties = parties_of(group)
    if not parties:
        return Ruling(0, "no answer at all", [{"rule_votes": 0.0}] * len(group))
    largest = max(parties, key=len)
    votes = {i: float(len(party)) for party in parties for i in party}
    marks = [{"rule_votes": votes.get(i, 0.0)} for i in range(len(group))]
    return Ruling(largest[0], written(group, parties), marks)


def parties_of(group: Sequence[Rollout]) -> list[list[int]]:
    """Which candidates say the same, in order of the first of each; without those that say nothing.

    Args:
        group: Of one question.
    """
    parties: list[list[int]] = []
    for i, one in enumerate(group):
        if one.answer is None:
            continue
        found = next((party for party in parties if is_same(group[party[0]], one)), None)
        if found is None:
            parties.append([i])
        else:
            found.append(i)
    return parties


def is_same(first: Rollout, other: Rollout) -> bool:
    """Whether two rollouts of a question answer the same, whatever is right."""
    a, b = first.answer, other.answer
    if a is None or b is None:
        return a is b
    task = first.task
    if a == b:
        return True
    if task.scorer.goes_by_answer:
        view = next(iter(first.prompt_views), None)
        return _as_if(task, a).is_right(b, view=view) or _as_if(task, b).is_right(a, view=view)
    if task.options and (index := option_index(a, task.options)) is not None:
        return option_index(b, task.options) == index
    return is_same_answer(a, b)


def written(group: Sequence[Rollout], parties: Sequence[Sequence[int]]) -> str:
    """The answers and how often each was given, the most frequent first."""
    order = sorted(parties, key=lambda party: (-len(party), party[0]))
    said = [f"{_short(group[party[0]].answer)} {len(party)}" for party in order]
    silent = len(group) - sum(map(len, parties))
    return ", ".join([*said, *([f"no answer {silent}"] if silent else [])])


def _as_if(task: TaskRecord, answer: str) -> TaskRecord:
    return replace(task, answer=answer)


def _short(answer: str | None) -> str:
    text = " ".join((answer or "").split())
    return f'"{text[:57]}..."' if len(text) > 60 else f'"{text}"'
