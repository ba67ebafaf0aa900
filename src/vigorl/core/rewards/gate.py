"""Rewards that depend on the answer: a gate lets another one through, a veto takes a total away."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point
from vigorl.core.protocols import Progress, ReadsProbes, Reward
from vigorl.core.rewards.zoom import count_distinct, points_by_picture
from vigorl.core.rollout import RewardBreakdown, Rollout, StopReason, Turn


@dataclass(frozen=True, slots=True)
class Gate:
    """Another reward where the answer is right enough, else 0; it keeps its name.

    A term that pays right answers alone cannot lift a wrong one above them.

    Attributes:
        reward: What is let through.
        min_score: The least score that opens the gate, in (0, 1].
    Raises:
        ConfigError: `min_score` out of its range.
    Source: the form of ViLaSR (format only if right), VLM-R3 (region term), VideoRFT (its term
        only where accuracy is above 0; not gated it loses to none on two of six benchmarks).
    """

    reward: Reward
    min_score: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_score <= 1:
            raise ConfigError(f"gate: min_score={self.min_score} must be in (0, 1]")

    @property
    def name(self) -> str:
        return self.reward.name

    @property
    def range(self) -> tuple[float, float]:
        low, high = self.reward.range
        return (min(low, 0.0), max(high, 0.0))

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        return self.reward.probe_numbers if isinstance(self.reward, ReadsProbes) else ()

    def __call__(self, rollout: Rollout) -> float:
        return self.reward(rollout) if rollout.score >= self.min_score else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfTotal:
    """A group part of weight 1 that turns a rollout's own total into another one; what it scores is
    the difference, so a breakdown's parts still add up to its total.

    Attributes:
        max_total: The largest |total| there can be, which states the range.
    Raises:
        ConfigError: It is not above 0.
    """

    max_total: float = 1.0

    def __post_init__(self) -> None:
        if self.max_total <= 0:
            raise ConfigError(f"max_total={self.max_total} must be above 0")

    @abstractmethod
    def changed(self, rollout: Rollout, total: float) -> float:
        """The total in place of `total`, of the rollout's own parts."""

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        return [
            self.changed(rollout, own.total) - own.total
            for rollout, own in zip(rollouts, breakdowns, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopProperly(_OfTotal):
    """What a limit ended keeps a share of its total, or gets a fixed price.

    Order: a right answer that a limit ended cannot be; so what is lowered is never a right one.

    Attributes:
        coef: From 0 to 1 multiplies the total; below 0 stands in its place.
    Raises:
        ConfigError: `coef` above 1 or below -`max_total`.
    Source: ProRL v2, as in OpenRLHF 3c3be623 `length_penalty.py` and NeMo-RL; there it excludes the
        soft overlong punishment, as it should here.
    """

    coef: float = 0.0

    def __post_init__(self) -> None:
        _OfTotal.__post_init__(self)
        if not -self.max_total <= self.coef <= 1:
            raise ConfigError(
                f"stop_properly: coef={self.coef} must be in [-{self.max_total:g}, 1]"
            )

    @property
    def name(self) -> str:
        return "stop_properly"

    @property
    def range(self) -> tuple[float, float]:
        return (-2 * self.max_total, self.max_total)

    def changed(self, rollout: Rollout, total: float) -> float:
        if not rollout.stop_reason.is_truncated:
            return total
        return self.coef if self.coef < 0 else self.coef * total


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto(_OfTotal):
    """A total of 0 where a rule is broken; the rule of all is that each turn thinks, and acts: a
    call, or the answer at the end.
    """

    @property
    def range(self) -> tuple[float, float]:
        return (-self.max_total, self.max_total)

    def changed(self, rollout: Rollout, total: float) -> float:
        return total if self.holds(rollout) else 0.0

    def holds(self, rollout: Rollout) -> bool:
        """Whether no rule is broken."""
        return (
            rollout.stop_reason is StopReason.ANSWERED
            and all(turn.parsed.problem is None for turn in rollout.turns)
            and self.allows(rollout)
        )

    @abstractmethod
    def allows(self, rollout: Rollout) -> bool:
        """Whether the rules of its own are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyVeto(Veto):
    """A total of 0 where thoughts and actions do not fit together: the picture half of
    FrameThinker's rules (frame numbers and ranges have no counterpart). Of a rollout it asks:

    - each turn thinks, and acts: a call, or the answer at the end
    - a call that names a place is of the last place of its thought
    - no look is within `min_distance_px` of an earlier one on the same picture

    Order: kept in that no wrong answer gains; a vetoed right answer falls to 0, under a wrong one
    with format, as in the paper, which pays none.

    Attributes:
        min_distance_px: Two looks closer than this are one, in pixels of the picture as it is shown
            (ours: the paper forbids the same range twice).
    Source: arXiv:2509.24304, section 3; lcqysl/FrameThinker-RL 3c917f3,
        `think_with_video_reward.py`.
    """

    min_distance_px: float = 10.0

    @property
    def name(self) -> str:
        return "veto"

    def allows(self, rollout: Rollout) -> bool:
        """Whether thoughts and actions fit together."""
        return all(map(_says_where_it_looks, rollout.turns)) and all(
            count_distinct(points, min_distance_px=self.min_distance_px) == len(points)
            for points in points_by_picture(rollout).values()
        )


def _says_where_it_looks(turn: Turn) -> bool:
    """Whether the place of a call is the last one of the thought; other calls pass."""
    call, points = turn.parsed.tool_call, turn.parsed.points
    if call is None:
        return True
    for value in call.arguments.values():
        if isinstance(value, list | tuple) and len(value) == 2:
            x, y = value
            if not isinstance(x, int | float) or not isinstance(y, int | float):
                return False
            return bool(points) and points[-1] == Point(x, y)
    return True
