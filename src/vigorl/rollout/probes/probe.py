"""Probes ask more about finished rollouts: extra dialogs with the same engine, in the same phase.

    finished rollouts -> dialogs        Probe.dialogs, about one rollout
    dialogs -> their rollouts           the collector, after the phase's own
    their rollouts -> numbers           Probe.measure; kept as `Rollout.probes`

So rewards may read the numbers, they are logged as `probe/<name>`, and they stand in the record.
The phase's rollouts are over before a probe begins, and none of their seeds depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

from vigorl.core.ranges import AtLeastOne, check_ranges
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.rollout.collector import evenly
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a probe asks, and about how much.

    Attributes:
        every: Phases from one to the next; the first phase is one. A single evaluation always is.
        num_rollouts: Most rollouts of each engine's share; None takes all.
    Raises:
        ConfigError: A number under 1.
    """

    every: AtLeastOne = 1
    num_rollouts: AtLeastOne | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "schedule")

    def is_due(self, phase: int) -> bool:
        return phase % self.every == 0


class Probe(Protocol):
    """One thing to ask about a rollout."""

    @property
    def schedule(self) -> Schedule: ...

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        """What is asked about a rollout; nothing where the question makes no sense.

        Args:
            rollout: Finished.
            environment: That of the rollout.
            others: The engine's other rollouts, from the next one on and around; to be gone
                through once.
        Returns:
            Fresh dialogs, whose groups no other dialog has.
        """
        ...

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        """Numbers by name, from the dialogs' rollouts in their order."""
        ...


@runtime_checkable
class JudgingProbe(Probe, Protocol):
    """A `Probe` that asks somebody else than the policy: it has no dialogs, but judges rollouts."""

    def judge(self, rollouts: Sequence[Rollout]) -> Sequence[Mapping[str, float]]:
        """Numbers by name about each rollout, in order; none where there is no judgement."""
        ...


class Taught(NamedTuple):
    """An answer to a probe that is learned from.

    Attributes:
        asked: Number of the rollout that it was asked about, among those given.
        coef: What its loss counts beside that of the rollouts, above 0.
        scored: With what it is paid.
    """

    asked: int
    coef: float
    scored: ScoredRollout


@runtime_checkable
class TeachingProbe(Probe, Protocol):
    """A `Probe` whose answers may be learned from too; see `training.second_objective`."""

    @property
    def coef(self) -> float:
        """What their loss counts beside that of the rollouts; 0.0 where nothing is learned."""
        ...

    @property
    def most_answers(self) -> int | None:
        """About one rollout at most; None where the data decide."""
        ...

    def scores(self, rollout: Rollout, answers: Sequence[Rollout]) -> Sequence[float]:
        """What each answer is paid, in [0, 1], in order."""
        ...


def ask_probes(
    ask: Callable[[Sequence[Dialog]], Sequence[Rollout]],
    probes: Sequence[Probe],
    rollouts: Sequence[Rollout],
    *,
    environment: Environment,
    schedule: Schedule | None = None,
    taught: list[Taught] | None = None,
) -> list[Rollout]:
    """The rollouts with what the probes found, in order.

    Args:
        ask: Runs dialogs to their ends, such as `collector.collect`; not called where nothing is
            asked.
        probes: Those that are due.
        rollouts: Finished.
        environment: That of the rollouts.
        schedule: How much is asked, in place of the probes' own.
        taught: Where answers that are learned from are put; None: nobody learns.
    """
    asked: list[tuple[Probe, int, list[Dialog]]] = []  # the rollout by its number
    found = list(rollouts)
    for probe in probes:
        if isinstance(probe, JudgingProbe):
            numbers = evenly(range(len(rollouts)), (schedule or probe.schedule).num_rollouts)
            judged = probe.judge([rollouts[number] for number in numbers])
            for number, measured in zip(numbers, judged, strict=True):
                found[number] = replace(found[number], probes={**found[number].probes, **measured})
            continue
        about = [
            probe.dialogs(rollout, environment=environment, others=_others(rollouts, number))
            for number, rollout in enumerate(rollouts)
        ]
        askable = [(probe, number, dialogs) for number, dialogs in enumerate(about) if dialogs]
        asked += evenly(askable, (schedule or probe.schedule).num_rollouts)
    every = [dialog for _, _, dialogs in asked for dialog in dialogs]
    answers = iter(ask(every) if every else ())
    for probe, number, dialogs in asked:
        given = [next(answers) for _ in dialogs]
        measured = probe.measure(rollouts[number], given)
        if taught is not None and isinstance(probe, TeachingProbe) and probe.coef:
            scores = probe.scores(rollouts[number], given)
            taught += (
                Taught(number, probe.coef, ScoredRollout(one, _paid(score)))
                for one, score in zip(given, scores, strict=True)
            )
        found[number] = replace(found[number], probes={**found[number].probes, **measured})
    return found


def _paid(score: float) -> RewardBreakdown:
    return RewardBreakdown(score, {"accuracy": score}, {"accuracy": 1.0})


def _others(rollouts: Sequence[Rollout], number: int) -> Iterator[Rollout]:
    return (rollouts[(number + i) % len(rollouts)] for i in range(1, len(rollouts)))
