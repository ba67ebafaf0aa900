"""What became of rollouts, counted: how they ended, what was wrong with them, which tools they
called, how long they were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from vigorl.core.metrics import is_right
from vigorl.core.rollout import Rollout, StopReason

RIGHT, WRONG_ANSWER, NO_ANSWER = "right", "wrong answer", "unreadable answer"
TOKENS_PER_BIN = 16
_PARTICULAR = re.compile(r"\([^)]*\)|'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?")
_MOST_REASONS = 40  # kinds of errors that are told apart

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over rollouts.

    Attributes:
        outcomes: Each rollout once: `RIGHT`, `WRONG_ANSWER`, `NO_ANSWER` (the turn that should
            answer cannot be read), or the `StopReason` of one without an answer.
        problems: Rollouts by each `TurnProblem` that a turn of theirs has.
        tool_errors: Refused calls by reason, without the numbers and names in it.
        tools: Calls by the tool's name, as the policy wrote it.
        looks: Rollouts by how often a tool looked.
        turns: Rollouts by turns.
        tokens: Rollouts by sampled tokens, each bin of `TOKENS_PER_BIN` by its first number.
    """

    outcomes: Counts = field(default_factory=dict)
    problems: Counts = field(default_factory=dict)
    tool_errors: Counts = field(default_factory=dict)
    tools: Counts = field(default_factory=dict)
    looks: Mapping[int, int] = field(default_factory=dict)
    turns: Mapping[int, int] = field(default_factory=dict)
    tokens: Mapping[int, int] = field(default_factory=dict)

    @property
    def num_rollouts(self) -> int:
        return sum(self.outcomes.values())


def tally_of(rollouts: Sequence[Rollout]) -> Tally:
    """Counts over some rollouts."""
    turns = [turn for one in rollouts for turn in one.turns]
    problems = [{turn.parsed.problem for turn in one.turns} - {None} for one in rollouts]
    return Tally(
        outcomes=Counter(outcome_of(one) for one in rollouts),
        problems=Counter(str(one) for of_rollout in problems for one in of_rollout),
        tool_errors=_most(_reason(turn.tool_error) for turn in turns if turn.tool_error),
        tools=_most(turn.parsed.tool_call.name[:40] for turn in turns if turn.parsed.tool_call),
        looks=Counter(len(one.looks) for one in rollouts),
        turns=Counter(len(one.turns) for one in rollouts),
        tokens=Counter(
            sum(len(turn.completion_ids) for turn in one.turns) // TOKENS_PER_BIN * TOKENS_PER_BIN
            for one in rollouts
        ),
    )


def joined(tallies: Iterable[Tally]) -> Tally:
    """Their sum."""
    sums: dict[str, Counter[str]] = {one.name: Counter() for one in fields(Tally)}
    for tally in tallies:
        for name, counter in sums.items():
            counter.update(getattr(tally, name))
    return Tally(**sums)  # pyright: ignore[reportArgumentType]


def outcome_of(rollout: Rollout) -> str:
    """A key of `Tally.outcomes`."""
    if is_right(rollout):
        return RIGHT
    if rollout.stop_reason is not StopReason.ANSWERED:
        return str(rollout.stop_reason)
    return WRONG_ANSWER if rollout.answer else NO_ANSWER


def _reason(error: str) -> str:
    """What refused calls have in common."""
    return _PARTICULAR.sub("…", error.partition("\n")[0])[:90]


def _most(names: Iterable[str]) -> Counter[str]:
    """A policy may write any name: only the most frequent are told apart."""
    counts = Counter(names)
    kept = Counter(dict(counts.most_common(_MOST_REASONS)))
    rest = counts.total() - kept.total()
    return kept + Counter({"others": rest})
