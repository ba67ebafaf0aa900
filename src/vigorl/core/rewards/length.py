"""What a rollout's length is worth. Length is in tokens that the policy sampled, over all turns,
unless said; no term here is for filtering groups, which goes by raw accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.core.trace import POINT_PATTERN


def num_sampled(rollout: Rollout) -> int:
    """Tokens that the policy sampled, over all turns."""
    return sum(len(turn.completion_ids) for turn in rollout.turns)


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
class CosineLengthReward:
    """Half a cosine over the length, from a value at no tokens to one at `max_tokens`: of right
    answers shorter ones are worth more, of all others longer ones. In place of accuracy.

    Attributes:
        max_tokens: Where the curve ends; what is longer counts as that.
        right_short: Of a wholly right answer without a token.
        right_long: Of one at `max_tokens`.
        wrong_short: Of any other without a token.
        wrong_long: Of any other at `max_tokens`.
    Raises:
        ConfigError: No token, or a wrong answer could outscore a right one.
    Source: arXiv:2502.03373; the numbers are ms-swift's (TRL: wrong -1 to -0.5; VLM-R1 wrong 0 to
        -0.5).
    """

    max_tokens: int
    right_short: float = 1.0
    right_long: float = 0.5
    wrong_short: float = -0.5
    wrong_long: float = 0.0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"cosine_length: max_tokens={self.max_tokens} must be at least 1")
        if max(self.wrong_short, self.wrong_long) > min(self.right_short, self.right_long):
            raise ConfigError("cosine_length: a wrong answer could outscore a right one")

    @property
    def name(self) -> str:
        return "cosine_length"

    @property
    def range(self) -> tuple[float, float]:
        wrong, right = (self.wrong_short, self.wrong_long), (self.right_short, self.right_long)
        return (min(wrong), max(right))

    def __call__(self, rollout: Rollout) -> float:
        is_right = rollout.score == 1.0
        short = self.right_short if is_right else self.wrong_short
        long = self.right_long if is_right else self.wrong_long
        share = min(num_sampled(rollout) / self.max_tokens, 1.0)
        return long + 0.5 * (short - long) * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionReward:
    """-(1 - distinct / all n-grams of the words of thoughts and answers); 0 where there is none.

    By words, without calls and points: coordinates and JSON repeat for good reasons (the sources
    count tokens of everything).

    Attributes:
        n: Words of an n-gram, at least 1.
    Raises:
        ConfigError: `n` under 1.
    Source: TRL, `get_repetition_penalty_reward` (n 3, at most -1); Perception-R1
        (tongxiao2002/Perception-R1 c47eaf2) n 20, weight 2.
    """

    n: int = 3

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"repetition: n={self.n} must be at least 1")

    @property
    def name(self) -> str:
        return "repetition"

    @property
    def range(self) -> tuple[float, float]:
        return (-1.0, 0.0)

    def __call__(self, rollout: Rollout) -> float:
        said = [f"{one.parsed.think} {one.parsed.answer or ''}" for one in rollout.turns]
        words = POINT_PATTERN.sub(" ", " ".join(said)).lower().split()
        grams = [tuple(words[i : i + self.n]) for i in range(len(words) - self.n + 1)]
        return len(set(grams)) / len(grams) - 1.0 if grams else 0.0


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
