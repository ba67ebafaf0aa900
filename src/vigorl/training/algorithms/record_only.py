"""Learns nothing: rollouts are generated, scored and recorded, and the weights stay as they are.

The first stage of methods that learn offline from the start's own rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.advantages import Credit
from vigorl.core.rollout import ScoredRollout

if TYPE_CHECKING:
    from vigorl.models.losses import LossInputs, LossOutput


@dataclass(frozen=True, slots=True)
class RecordOnly:
    """An `Algorithm` that masks every token; each step is left out (`train/no_signal`)."""

    needs_reference: bool = False
    needs_old: bool = False
    needs_zero_advantages: bool = False

    def credit(self, groups: Sequence[Sequence[ScoredRollout]]) -> list[list[Credit]]:
        return [[_nothing(len(one.rollout.token_ids)) for one in group] for group in groups]

    def token_weights(self, num_tokens: Sequence[int], groups: Sequence[str]) -> list[float]:
        return [0.0] * len(num_tokens)

    def loss(self, inputs: LossInputs) -> LossOutput:
        from vigorl.models.losses import LossOutput

        return LossOutput((inputs.policy_logprobs * 0.0).sum(), {})


def _nothing(num_tokens: int) -> Credit:
    return Credit((0.0,) * num_tokens, (0,) * num_tokens)
