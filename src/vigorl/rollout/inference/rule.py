"""What a rule of inference promises, and how questions are asked by one.

    asked = ask_by_rule(ask, Majority(), dialogs, environment=environment)
    asked.rollouts, asked.chosen, asked.rulings

A rule says how many rollouts of a question are sampled, and which of them is the answer; it never
sees what is right. Each rollout keeps what the rule found about it as probes: `rule_chosen`, and
others by rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout

if TYPE_CHECKING:
    from vigorl.rollout.dialog import Dialog
    from vigorl.rollout.environment import Environment

CHOSEN = "rule_chosen"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule saw and chose, of one question.

    Attributes:
        chosen: Which of the candidates is the answer.
        saw: In a line, for people.
        marks: [candidates] numbers about each, by name; empty where there are none.
    """

    chosen: int
    saw: str = ""
    marks: Sequence[Mapping[str, float]] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class InferenceRule:
    """Base of the rules: one rollout, which is the answer."""

    @property
    def num_candidates(self) -> int:
        """Rollouts that are sampled for one answer."""
        return 1

    def settings(self) -> dict[str, Any]:
        """What an answer depends on, JSON values."""
        raise NotImplementedError

    def check(self, tasks: Sequence[TaskRecord]) -> None:
        """Raises ConfigError where it has no meaning for a question."""

    def attach(self, engine: Engine) -> None:
        """Raises ConfigError where the engine cannot do what the rule needs; names it."""

    def sampled(self, environment: Environment) -> Environment:
        """How candidates are sampled."""
        return environment

    def asks(self, group: Sequence[Rollout], *, environment: Environment) -> Dialog | None:
        """What the policy is asked about the candidates of a question; None asks nothing."""
        return None

    def rulings(
        self, groups: Sequence[Sequence[Rollout]], replies: Sequence[Rollout | None]
    ) -> list[Ruling]:
        """One per question.

        Args:
            groups: Each question's candidates.
            replies: What the policy said when it was asked about them.
        """
        return [Ruling(0) for _ in groups]


@dataclass(frozen=True, slots=True)
class AskedByRule:
    """What came out.

    Attributes:
        rollouts: Candidates, question by question, each with what was replied about them behind.
        chosen: [questions] indices of the answers among them.
        rulings: [questions].
    """

    rollouts: list[Rollout]
    chosen: list[int]
    rulings: list[Ruling]


def recorded_answers(rollouts: Sequence[Rollout]) -> list[tuple[int, int]]:
    """Which of an evaluation's recorded rollouts are answers: (place among them, number among the
    answers to its question). Without a rule that chooses all are, by their indices.
    """
    if not any(CHOSEN in one.probes for one in rollouts):
        return [(i, one.index) for i, one in enumerate(rollouts)]
    found: list[tuple[int, int]] = []
    counts: Counter[str] = Counter()
    for i, one in enumerate(rollouts):
        if one.probes.get(CHOSEN) == 1.0:
            found.append((i, counts[one.task.id]))
            counts[one.task.id] += 1
    return found


def ask_by_rule(
    ask: Callable[[Sequence[Dialog]], Sequence[Rollout]],
    rule: InferenceRule,
    dialogs: Sequence[Dialog],
    *,
    environment: Environment,
) -> AskedByRule:
    """Answer questions by a rule.

    Args:
        ask: Runs dialogs to their ends, and gives their rollouts in order.
        rule: The rule.
        dialogs: `rule.num_candidates` of each question, one after the other, of
            `rule.sampled(environment)`.
        environment: As the questions are asked without a rule.
    """
    num, candidates = rule.num_candidates, list(ask(dialogs))
    groups = [candidates[i : i + num] for i in range(0, len(candidates), num)]
    further = [rule.asks(group, environment=environment) for group in groups]
    waiting = [one for one in further if one is not None]
    answers = iter(ask(waiting) if waiting else ())
    replies = [None if one is None else next(answers) for one in further]
    rulings = rule.rulings(groups, replies)
    rollouts, chosen = list[Rollout](), list[int]()
    for group, reply, ruling in zip(groups, replies, rulings, strict=True):
        chosen.append(len(rollouts) + ruling.chosen)
        for i, one in enumerate(group):
            marks = {CHOSEN: float(i == ruling.chosen)} if num > 1 else {}
            marks |= dict(ruling.marks[i]) if ruling.marks else {}
            rollouts.append(replace(one, probes={**one.probes, **marks}))
        rollouts += [reply] if reply is not None else []
    return AskedByRule(rollouts, chosen, rulings)
