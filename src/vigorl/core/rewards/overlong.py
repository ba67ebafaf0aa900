"""Prices on length: near a limit, and of right answers that could be had for less. Neither is for
filtering groups, which goes by raw accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.core.rewards.length import num_sampled
from vigorl.core.rollout import RewardBreakdown, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftOverlongReward:
    """0 up to `max_tokens` less the buffer, then down a straight line to -1 at `max_tokens`.

    Order: with weight w under the gap between the lowest right and the highest wrong answer it
    holds; with DAPO's weight of 1 on an accuracy of 1 a right answer at the limit ties with a short
    wrong one.

    Attributes:
        max_tokens: The limit, at least 1.
        buffer_frac: Share of the limit over which the price rises, in (0, 1].
    Raises:
        ConfigError: A setting out of its range.
    Source: DAPO, arXiv:2503.14476, eq. 13 (20,480 and a fifth of it, weight 1).
    """

    max_tokens: int
    buffer_frac: float = 0.2

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or not 0 < self.buffer_frac <= 1:
            raise ConfigError(
                f"soft_overlong: need max_tokens={self.max_tokens} >= 1 and "
                f"buffer_frac={self.buffer_frac} in (0, 1]"
            )

    @property
    def name(self) -> str:
        return "soft_overlong"

    @property
    def range(self) -> tuple[float, float]:
        return (-1.0, 0.0)

    def __call__(self, rollout: Rollout) -> float:
        buffer = self.buffer_frac * self.max_tokens
        over = num_sampled(rollout) - (self.max_tokens - buffer)
        return -min(max(over / buffer, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPenaltyReward:
    """A price on tokens and turns of right answers, in proportion to how well the group does:

        -(mean score) * (w_out out/max out + w_in in/max in + w_turns turns/max turns)

    with the maxima of the group (ours: not in the source's notes). Wrong answers pay nothing, or
    failing fast would be rewarded; where nobody is right nothing is paid.

    Order: a right answer scores at least its own total less the sum of the weights.

    Attributes:
        output_weight: Of sampled tokens, >= 0.
        input_weight: Of the environment's tokens, pictures as one each, >= 0.
        turns_weight: Of turns, >= 0.
    Raises:
        ConfigError: A weight below 0, or all 0.
    Source: prime-rl 559b447, `length_penalty` (off, 0.1, 0.1; gated on success since #3376).
    """

    output_weight: float = 0.0
    input_weight: float = 0.1
    turns_weight: float = 0.1

    def __post_init__(self) -> None:
        if min(self._weights) < 0 or not any(self._weights):
            raise ConfigError("length_penalty: weights must be >= 0, and one above 0")

    @property
    def name(self) -> str:
        return "length_penalty"

    @property
    def range(self) -> tuple[float, float]:
        return (-sum(self._weights), 0.0)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        sizes = [_sizes(rollout) for rollout in rollouts]
        most = [max(*of_kind, 1) for of_kind in zip(*sizes, strict=True)]
        mean = sum(rollout.score for rollout in rollouts) / len(rollouts)
        return [
            -mean
            * sum(w * size / top for w, size, top in zip(self._weights, own, most, strict=True))
            if rollout.score == 1.0
            else 0.0
            for rollout, own in zip(rollouts, sizes, strict=True)
        ]

    @property
    def _weights(self) -> tuple[float, float, float]:
        return (self.output_weight, self.input_weight, self.turns_weight)


def _sizes(rollout: Rollout) -> tuple[int, int, int]:
    seen = sum(len(turn.observation_ids) for turn in rollout.turns)
    return (num_sampled(rollout), seen, len(rollout.turns))
