"""What is a prompt's reward without luck? The question again, greedily, once per prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigorl.core.protocols import Reward
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import ask_anew
from vigorl.rollout.probes.probe import Schedule

GREEDY_REWARD = "greedy_reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """A `Probe` of each group's first rollout; the baseline of `training.estimators.remax`.

    Attributes:
        reward: What the greedy rollout is paid, the run's own; parts of a group are left out.
        schedule: When it asks; a baseline is needed in every phase, of every prompt.
    """

    reward: Reward
    schedule: Schedule = field(default_factory=Schedule)

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        if rollout.index:
            return []
        greedy = environment.greedy()
        return [ask_anew(rollout, environment=greedy, group=f"{rollout.group}/greedy")]

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        (greedy,) = answers
        return {GREEDY_REWARD: self.reward(greedy), "greedy_score": greedy.score}
