"""My own probe: is an answer steady? Its last turn is sampled again, with other noise.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs probes=[my_probe]

Logged as `probe/steadiness`, kept in the record as `Rollout.probes`, and there for a reward to
read. The rollouts themselves are the same with and without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.probe import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """The share of the new answers that are the rollout's own, in [0, 1].

    Attributes:
        times: How often an answer is sampled again, at least 1.
        schedule: In which phases, and about how many rollouts.
    """

    times: int = 2
    schedule: Schedule = field(default_factory=Schedule)

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        if rollout.answer is None:
            return []
        kept = rollout.turns[:-1]
        return [
            environment.reopen(rollout, kept, group=f"{rollout.group}/steady_{i}", seed=i)
            for i in range(self.times)
        ]

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        same = sum(again.answer == rollout.answer for again in answers)
        return {"steadiness": same / len(answers)}
