"""Numbers and intervals that are paid by how near they are: Reason-RFT, ViLaSR, Temporal-R1."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.rewards.unit import UnitReward
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.number import read_quantity

_INTERVAL = re.compile(
    r"(\d{1,9}(?:\.\d{1,6})?)\s*(?:s|seconds?)?\s*(?:to|and|,|-|–)\s*(\d{1,9}(?:\.\d{1,6})?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberReward(UnitReward):
    """1.0 within `near` of the right number, 0.0 beyond `far`, a half cosine between.

    Both are shares of the right number. Where an answer or the right one is no number, the task's
    scorer judges. A number that is not wholly right is paid, so a sum keeps the order (a wrong
    answer never outscores a right one) only if this takes the place of accuracy.

    Attributes:
        near: The paper 0.05.
        far: The paper 0.20.
    Source: Reason-RFT, arXiv:2503.20752; tanhuajie/Reason-RFT@d0a8070, train/stage_rl/reward.py.
    """

    near: float = 0.05
    far: float = 0.20
    name: str = "number"

    def __post_init__(self) -> None:
        if not 0 <= self.near < self.far:
            raise ConfigError(
                f"reward {self.name!r}: need 0 <= near < far, got {self.near}, {self.far}"
            )

    def __call__(self, rollout: Rollout) -> float:
        error = relative_error(rollout)
        if error is None:
            return rollout.score
        if error <= self.near or error > self.far:
            return float(error <= self.near)
        return 0.5 * (1 + math.cos(math.pi * (error - self.near) / (self.far - self.near)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeAccuracyReward(UnitReward):
    """Share of the thresholds t = 0.5, 0.55, ..., 0.95 for which the error is below 1 - t, as a
    share of the right number; the scorer judges where one of both is no number.

    Source: ViLaSR, arXiv:2506.09965; AntResearchNLP/ViLaSR@61669c0,
        verl/utils/reward_score/gcot.py.
    """

    name: str = "relative_accuracy"

    def __call__(self, rollout: Rollout) -> float:
        error = relative_error(rollout)
        if error is None:
            return rollout.score
        return sum(error < 1 - t / 100 for t in range(50, 100, 5)) / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalReward(UnitReward):
    """The IoU of the answer's interval "12.5 to 20" with the right one; 0.0 without an interval.

    Source: Temporal-R1, arXiv:2506.01908; appletea233/Temporal-R1@f364f6c,
        verl/utils/reward_score/tvg.py (0.5 of it and 0.5 format).
    Raises:
        ValueError: At a call: the task's answer is no interval.
    """

    name: str = "interval"

    def __call__(self, rollout: Rollout) -> float:
        right, given = read_interval(rollout.task.answer), read_interval(rollout.answer or "")
        if right is None:
            raise ValueError(
                f"reward {self.name!r} needs an interval such as '3 to 8' as the answer, and task "
                f"{rollout.task.id!r} has {rollout.task.answer!r:.60}"
            )
        if given is None:
            return 0.0
        shared = max(min(given[1], right[1]) - max(given[0], right[0]), 0.0)
        return shared / (given[1] - given[0] + right[1] - right[0] - shared)


def relative_error(rollout: Rollout) -> float | None:
    """|answer - right| / |right|; of a right 0, 0.0 if it is met and else infinite; None where one
    of both is no number.
    """
    given = read_quantity(rollout.answer or "")
    right = read_quantity(rollout.task.answer)
    if given is None or right is None:
        return None
    off = abs(given.value - right.value)
    return float(off / abs(right.value)) if right.value else math.inf if off else 0.0


def read_interval(text: str) -> tuple[float, float] | None:
    """The one pair of numbers of a text, the first below the second; None where there is none, or
    several.

    >>> read_interval("from 12.5 s to 20 s")
    (12.5, 20.0)
    """
    pairs = [(float(start), float(end)) for start, end in _INTERVAL.findall(text)]
    return pairs[0] if len(pairs) == 1 and pairs[0][0] < pairs[0][1] else None
