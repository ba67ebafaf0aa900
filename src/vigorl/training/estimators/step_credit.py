"""Step credit beside the outcome's: a call that was worth more than the group's calls are on
average is credited with the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import NotNegative
from vigorl.training.estimators.estimator import Estimate, Estimator, Group, Rated
from vigorl.training.estimators.group_mean import GroupMean
from vigorl.training.readings import Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCredit(Estimator):
    """A_k = A + weight (s_k - mean of s over all calls of the group) at turns that call a tool, A
    at others; s_k is what the turn was paid, A from the rewards without what turns were paid.

    Attributes:
        weight: Of the steps, at least 0.
        outcome: Compares the rest of the rewards.
    Raises:
        ConfigError: A weight below 0.
    Source: the words of ViRL, arXiv:2511.23031, and of TACO, arXiv:2606.30251; the formula is not
        published; ours.
    """

    weight: NotNegative = 1.0
    outcome: Estimator = field(default_factory=GroupMean)

    def __post_init__(self) -> None:
        Estimator.__post_init__(self)
        if self.outcome.needs_critic:
            raise ConfigError(
                "algorithm.estimator.outcome cannot need a critic, which would learn what turns "
                f"are paid too: {type(self.outcome).__name__}"
            )

    @property
    def reads(self) -> Reads:
        return self.outcome.reads

    @property
    def refuses(self) -> frozenset[str]:
        return self.outcome.refuses | {"centre_shaping"}

    def advantages(self, groups: Sequence[Group]) -> list[list[Estimate]]:
        outcomes = [[_without_turns(one) for one in group] for group in groups]
        found = self.outcome.advantages(outcomes)
        return [self._of_group(*pair) for pair in zip(groups, found, strict=True)]

    def _of_group(self, group: Group, estimates: Sequence[Estimate]) -> list[Estimate]:
        steps = [_steps(one) for one in group]
        paid = [step for own in steps for step in own if step is not None]
        mean = fmean(paid) if paid else 0.0
        found = []
        for estimate, own in zip(estimates, steps, strict=True):
            values = [
                turn if step is None else [value + self.weight * (step - mean) for value in turn]
                for turn, step in zip(estimate.values, own, strict=True)
            ]
            found.append(Estimate(values, estimate.metrics))
        return found


def _steps(one: Rated) -> list[float | None]:
    """What each turn was paid; None of a turn that calls no tool."""
    turns = one.rollout.turns
    paid = one.scored.reward.turns or (0.0,) * len(turns)
    return [
        None if turn.parsed.tool_call is None else step
        for turn, step in zip(turns, paid, strict=True)
    ]


def _without_turns(one: Rated) -> Rated:
    reward = one.scored.reward
    scored = replace(one.scored, reward=replace(reward, total=reward.outcome, turns=()))
    return replace(one, scored=scored, reward=one.reward - sum(reward.turns))
