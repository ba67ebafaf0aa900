"""Behaviours of several policies on the same questions, side by side: the paper's table 5.

    before, after = read_condition("start/rollouts.jsonl"), read_condition("end/rollouts.jsonl")
    print(compare_behaviors({"before": before, "after": after}).markdown())

Only questions that every condition was asked count, one trace each; of more than `max_traces` a
seeded sample. The paper says that it takes correct traces only and the released code takes all:
`only_correct` keeps the questions that EVERY condition got right, so that the pairs stay pairs.
What the rules count and what a judge counts stand in rows of their own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.metrics import is_right
from vigorl.core.rollout import Rollout
from vigorl.evaluation.behavior_judge import Count, Missing, judge_behaviors
from vigorl.evaluation.behaviors import Behavior, BehaviorRules
from vigorl.evaluation.report import Accuracy
from vigorl.evaluation.statistics import bootstrap_interval, difference_interval
from vigorl.rollout.judge import Judge
from vigorl.rollout.recorder import read_rollouts

Counts = Mapping[Behavior, tuple[Count, ...]]


@dataclass(frozen=True, slots=True)
class MeanCount:
    """A mean over traces, or a mean difference between the traces of two conditions.

    Attributes:
        value: Times per trace.
        interval: 95 %, over questions; None where all counts (or differences) are equal, since
            resampling them would claim certainty.
        num_traces: Whose count is there.
    """

    value: float
    interval: tuple[float, float] | None
    num_traces: int

    def text(self, *, sign: str = "") -> str:
        """For a table; with sign="+" gains show theirs."""
        if self.interval is None:
            return f"{self.value:{sign}.2f} [all equal]"
        low, high = self.interval
        return f"{self.value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


@dataclass(frozen=True, slots=True)
class ConditionBehaviors:
    """What one policy did.

    Attributes:
        name: The condition's.
        accuracy: On all questions that the conditions share, whatever is sampled or filtered.
        counts: By counter ("rules", "judge"): one count per behaviour and sampled question.
    """

    name: str
    accuracy: Accuracy
    counts: Mapping[str, Counts]

    def mean(self, counter: str, behavior: Behavior) -> MeanCount | None:
        """Over the traces that have a count; None when none has."""
        values = [count for count in self.counts[counter][behavior] if isinstance(count, int)]
        if not values:
            return None
        interval = bootstrap_interval(values) if len(set(values)) > 1 else None
        return MeanCount(fmean(values), interval, len(values))

    def num_missing(self, counter: str, reason: Missing) -> int:
        """Counts of all behaviours that are not there."""
        return sum(count is reason for values in self.counts[counter].values() for count in values)


@dataclass(frozen=True, slots=True)
class BehaviorTable:
    """Several policies on the same questions.

    Attributes:
        conditions: In the order given; the first is what the others are compared with.
        question_ids: Of the sample, in the order of the counts.
        num_common: Questions that all conditions share, after `only_correct`.
        only_correct: Questions that some condition got wrong are left out.
        seed: Of the sample.
    """

    conditions: tuple[ConditionBehaviors, ...]
    question_ids: tuple[str, ...]
    num_common: int
    only_correct: bool
    seed: int

    def difference(self, name: str, counter: str, behavior: Behavior) -> MeanCount | None:
        """A condition minus the first, question by question.

        None when no question has a count in both.
        """
        (other,) = (one for one in self.conditions if one.name == name)
        pairs = [
            (mine, base)
            for mine, base in zip(
                other.counts[counter][behavior],
                self.conditions[0].counts[counter][behavior],
                strict=True,
            )
            if isinstance(mine, int) and isinstance(base, int)
        ]
        if not pairs:
            return None
        mine, base = zip(*pairs, strict=True)
        are_equal = len({a - b for a, b in pairs}) == 1
        interval = None if are_equal else difference_interval(mine, base)
        return MeanCount(fmean(mine) - fmean(base), interval, len(pairs))

    def markdown(self) -> str:
        """Means, then differences to the first condition, then what is missing."""
        names = " | ".join(behavior.replace("_", " ") for behavior in Behavior)
        rule = "|---" * (len(Behavior) + 2) + "|"
        lines = [f"| condition | counted by | {names} | accuracy, % |", f"{rule}---|"]
        for one in self.conditions:
            for counter in one.counts:
                found = [one.mean(counter, behavior) for behavior in Behavior]
                cells = " | ".join(self._cell(mean) for mean in found)
                lines.append(f"| {one.name} | {counter} | {cells} | {_percent(one.accuracy)} |")
        if len(self.conditions) > 1:
            first = self.conditions[0].name
            lines += ["", f"| minus {first}, paired | counted by | {names} |", rule]
        for one in self.conditions[1:]:
            for counter in one.counts:
                found = [self.difference(one.name, counter, behavior) for behavior in Behavior]
                cells = " | ".join(self._cell(mean, sign="+") for mean in found)
                lines.append(f"| {one.name} | {counter} | {cells} |")
        return "\n".join([*lines, "", *self._notes()]) + "\n"

    def _cell(self, mean: MeanCount | None, *, sign: str = "") -> str:
        if mean is None:
            return "no count"
        is_short = mean.num_traces < len(self.question_ids)
        return mean.text(sign=sign) + (f" (n = {mean.num_traces})" if is_short else "")

    def _notes(self) -> list[str]:
        which = "that every condition got right" if self.only_correct else "that all share"
        notes = [
            f"Times per trace, 95 % intervals over questions; {len(self.question_ids)} of the "
            f"{self.num_common} questions {which} (seed {self.seed}). Accuracy on all "
            f"{self.conditions[0].accuracy.num_questions} shared questions."
        ]
        for one in self.conditions:
            for counter, counts in one.counts.items():
                failed, unreadable = (one.num_missing(counter, reason) for reason in Missing)
                if failed or unreadable:
                    total = sum(len(values) for values in counts.values())
                    notes.append(
                        f"{one.name}, {counter}: {failed + unreadable} of {total} counts are "
                        f"missing ({failed} failed, {unreadable} unreadable), and in no mean."
                    )
        return notes


def compare_behaviors(
    conditions: Mapping[str, Sequence[Rollout]],
    *,
    rules: BehaviorRules | None = None,
    judge: Judge | None = None,
    only_correct: bool = False,
    max_traces: int = 300,
    seed: int = 0,
) -> BehaviorTable:
    """Count what each condition does on the questions that all share.

    Args:
        conditions: Name to rollouts; of several rollouts of a question the one with the lowest
            index counts.
        rules: Of the rule-based counts.
        judge: Counts beside them; asked four times a trace.
        only_correct: Keep only questions that every condition answered rightly.
        max_traces: Of a condition; more are sampled, the same for the same seed and questions.
        seed: Of the sample.
    Raises:
        ConfigError: No condition, or max_traces < 1.
        DataError: No question is left, or an id stands for different questions.
        EngineError: The judge cannot be reached at all.
    """
    if not conditions or max_traces < 1:
        raise ConfigError("need at least one condition, and max_traces of at least 1")
    by_id = {name: _one_per_question(rollouts) for name, rollouts in conditions.items()}
    shared = _shared_questions(by_id)
    kept = shared
    if only_correct:
        kept = [id for id in shared if all(is_right(one[id]) for one in by_id.values())]
    if not kept:
        which = "answered rightly by all of" if only_correct else "shared by"
        raise DataError(f"no question is {which} the conditions {list(conditions)}")
    sample = random.Random(seed).sample(kept, max_traces) if len(kept) > max_traces else kept
    rows = []
    for name, one in by_id.items():
        rollouts = [one[id] for id in sample]
        counts: dict[str, Counts] = {"rules": _count(rollouts, rules or BehaviorRules())}
        if judge is not None:
            counts["judge"] = judge_behaviors(judge, rollouts)
        accuracy = Accuracy.of([one[id].score for id in shared])
        rows.append(ConditionBehaviors(name, accuracy, counts))
    return BehaviorTable(tuple(rows), tuple(sample), len(kept), only_correct, seed)


def read_condition(path: str | os.PathLike[str], *, phase: str | None = None) -> list[Rollout]:
    """The rollouts of a record, as an evaluation leaves in rollouts.jsonl.

    Args:
        path: The record.
        phase: Of a record with several, the one to take.
    Raises:
        DataError: A bad line, several phases and none chosen, or no rollout of the chosen one.
    """
    records = list(read_rollouts(path))
    phases = list(dict.fromkeys(record.phase for record in records))
    if phase is None and len(phases) > 1:
        raise DataError(f"has several phases, choose one: {', '.join(phases[:8])}", path=path)
    found = [record.scored.rollout for record in records if phase in (None, record.phase)]
    if not found:
        raise DataError(f"no rollout of phase {phase!r}; there are {phases[:8]}", path=path)
    return found


def _one_per_question(rollouts: Sequence[Rollout]) -> dict[str, Rollout]:
    found: dict[str, Rollout] = {}
    for rollout in sorted(rollouts, key=lambda rollout: rollout.index):
        found.setdefault(rollout.task.id, rollout)
    return found


def _shared_questions(by_id: Mapping[str, Mapping[str, Rollout]]) -> list[str]:
    """Sorted ids, so that a sample of them does not depend on the order of the records."""
    shared = sorted(set.intersection(*(set(one) for one in by_id.values())))
    for id in shared:
        asked = {(one[id].task.question, one[id].task.answer) for one in by_id.values()}
        if len(asked) > 1:
            raise DataError(
                f"question {id!r} is not the same question in the conditions {list(by_id)}: "
                "evaluate them on the same data"
            )
    return shared


def _count(rollouts: Sequence[Rollout], rules: BehaviorRules) -> Counts:
    counts = [rules.count(rollout) for rollout in rollouts]
    return {behavior: tuple(count[behavior] for count in counts) for behavior in Behavior}


def _percent(one: Accuracy) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"
