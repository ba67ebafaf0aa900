"""A weighted sum of rewards, with a stated range and a breakdown into its parts.

Parts score a rollout by itself, turn parts each of its turns, group parts score it among the
rollouts of its group:

    parts       -> a breakdown per rollout
    turn parts  -> one more part, the sum over turns, and what each turn was paid
    group parts -> one more part in each breakdown of the group, and in its total
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError, NoScoreError
from vigorl.core.protocols import GroupReward, Progress, ReadsProbes, Reward, TurnReward
from vigorl.core.rollout import RewardBreakdown, Rollout

_ROUNDING = 1e-9  # a sum of floats may miss its bound by this much, relative to the bound


@dataclass(frozen=True, slots=True)
class WeightedReward:
    """sum_i weight_i * reward_i. A weight of 0 logs a part without paying for it.

    In YAML a part is one line, `- [{_target_: vigorl.core.rewards.FormatReward}, 0.2]`; the sum
    itself needs `_convert_: all`, or OmegaConf turns the frozen dataclasses back into settings.

    Attributes:
        name: What the sum is called.
        parts: (reward, weight) pairs, at least one; part names are unique and not "total".
        group_parts: (group reward, weight) pairs, whose names are unique among all parts.
        turn_parts: (turn reward, weight) pairs, likewise.
    Raises:
        ConfigError: No part, a part that is no reward, a bad name, or a weight that is not finite.
    """

    name: str
    parts: Sequence[tuple[Reward, float]]
    group_parts: Sequence[tuple[GroupReward, float]] = ()
    turn_parts: Sequence[tuple[TurnReward, float]] = ()

    def __post_init__(self) -> None:
        for field, kind in (
            ("parts", Reward), ("group_parts", GroupReward), ("turn_parts", TurnReward),
        ):  # fmt: skip
            parts = tuple((reward, float(weight)) for reward, weight in getattr(self, field))
            object.__setattr__(self, field, parts)
            for reward, _ in parts:
                if not isinstance(reward, kind):
                    raise ConfigError(
                        f"reward {self.name!r}: {reward!r} is not a {kind.__name__}; "
                        "in YAML, does the sum have `_convert_: all`?"
                    )
        names = [reward.name for reward, _ in self._all_parts]
        if not self.parts:
            raise ConfigError(f"reward {self.name!r} has no parts")
        if len({*names, "total"}) <= len(names):  # "reward/total" is the sum's own metric
            raise ConfigError(
                f'reward {self.name!r}: part names must be unique and not "total", got {names}'
            )
        if not all(math.isfinite(weight) for _, weight in self._all_parts):
            raise ConfigError(f"reward {self.name!r}: weights must be finite")

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest total; a negative weight swaps the ends of its part's range."""
        ends = [
            sorted((weight * reward.range[0], weight * reward.range[1]))
            for reward, weight in self._all_parts
            if weight  # 0 * inf is not a number
        ]
        return (sum(low for low, _ in ends), sum(high for _, high in ends))

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        """Those that its parts read; see `ReadsProbes`."""
        reading = [part for part, _ in self._all_parts if isinstance(part, ReadsProbes)]
        return tuple(dict.fromkeys(name for part in reading for name in part.probe_numbers))

    def __call__(self, rollout: Rollout) -> float:
        return self.breakdown(rollout).total

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        """The total and every part before weighting, without group parts.

        Raises:
            ConfigError: A part is not finite, or leaves the range it states, or a turn part has
                another number of scores than the rollout turns.
        """
        parts: dict[str, float] = {}
        missing: list[str] = []
        for reward, _ in self.parts:
            try:
                parts[reward.name] = checked_score(reward, rollout)
            except NoScoreError:
                missing.append(reward.name)
        total = sum(weight * parts.get(reward.name, 0.0) for reward, weight in self.parts)
        weights = {reward.name: weight for reward, weight in self._all_parts}
        own = RewardBreakdown(total, parts, weights, missing=tuple(missing))
        return self._with_turns(own, rollout) if self.turn_parts else own

    def _with_turns(self, own: RewardBreakdown, rollout: Rollout) -> RewardBreakdown:
        paid, parts = [0.0] * len(rollout.turns), dict(own.parts)
        for reward, weight in self.turn_parts:
            scores = reward.score_turns(rollout)
            parts[reward.name] = _checked(reward, sum(scores), rollout)
            paid = [sum_ + weight * score for sum_, score in zip(paid, scores, strict=True)]
        return replace(own, total=own.total + sum(paid), parts=parts, turns=tuple(paid))

    def breakdowns(
        self, rollouts: Sequence[Rollout], *, progress: Progress
    ) -> list[RewardBreakdown]:
        """Of each rollout of a group, in order, the total and every part before weighting.

        Raises:
            ConfigError: A part is not finite, or leaves the range it states, or a group part has
                another number of scores than the group rollouts.
        """
        own = [self.breakdown(rollout) for rollout in rollouts]
        found = own
        for reward, weight in self.group_parts:
            scores = reward.score_group(rollouts, own, progress=progress)
            found = [
                replace(
                    before,
                    total=before.total + weight * _checked(reward, score, rollout),
                    parts={**before.parts, reward.name: score},
                )
                for before, score, rollout in zip(found, scores, rollouts, strict=True)
            ]
        return found

    @property
    def _all_parts(self) -> tuple[tuple[Reward | GroupReward | TurnReward, float], ...]:
        return (*self.parts, *self.group_parts, *self.turn_parts)


def checked_score(reward: Reward, rollout: Rollout) -> float:
    """The reward's score, or an error when it breaks its word.

    Raises:
        ConfigError: The score is not finite or lies outside `reward.range`.
    """
    return _checked(reward, reward(rollout), rollout)


def _checked(reward: Reward | GroupReward | TurnReward, value: float, rollout: Rollout) -> float:
    low, high = reward.range
    slack = _ROUNDING * max([1.0, *(abs(end) for end in (low, high) if math.isfinite(end))])
    if not math.isfinite(value) or not low - slack <= value <= high + slack:
        raise ConfigError(
            f"reward: part {reward.name!r} returned {value} for task {rollout.task.id!r}, outside "
            f"the range [{low}, {high}] it states; mend it, or let it state another `range`"
        )
    return value
