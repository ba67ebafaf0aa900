"""How long a response is, in sampled tokens: PeBR-R1's limit and VLM-R1's cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vigorl.core.rewards.unit import UnitReward, check_positive
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortResponseReward(UnitReward):
    """1.0 up to a number of tokens, then that number over theirs.

    Attributes:
        num_tokens: The paper 512.
    Source: PeBR-R1, arXiv:2509.13031; cythu/PeBR-R1@0f332ce, examples/reward_function/pebr_1.py.
    """

    num_tokens: int = 512
    name: str = "short_response"

    def __post_init__(self) -> None:
        check_positive(self.name, num_tokens=self.num_tokens)

    def __call__(self, rollout: Rollout) -> float:
        return min(1.0, self.num_tokens / max(num_sampled(rollout), 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineLengthReward:
    """Right answers 1.0 when short, falling to 0.5; wrong ones -0.5 when short, rising to 0.0.

    Along half a cosine over `num_tokens`, flat beyond. Right is a wholly right answer; the release
    overwrites that with 1.0, so that every answer is treated as right.

    Attributes:
        num_tokens: The paper 1024.
    Source: VLM-R1, arXiv:2504.07615; om-ai-lab/VLM-R1@90052f4, open_r1/grpo_jsonl.py.
    """

    num_tokens: int = 1024
    name: str = "cosine_length"

    def __post_init__(self) -> None:
        check_positive(self.name, num_tokens=self.num_tokens)

    @property
    def range(self) -> tuple[float, float]:
        return (-0.5, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        done = min(num_sampled(rollout) / self.num_tokens, 1.0)
        left = (1 + math.cos(math.pi * done)) / 2  # from 1 to 0
        return 0.5 + 0.5 * left if rollout.score == 1.0 else -0.5 * left


def num_sampled(rollout: Rollout) -> int:
    """Tokens that the policy sampled, all turns."""
    return sum(len(turn.completion_ids) for turn in rollout.turns)
