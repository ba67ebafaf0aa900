"""My own algorithm: REINFORCE whose baseline is the mean of the group's other rollouts (RLOO).

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs algorithm=my_algorithm

The trainer asks what it needs and hands it whole groups, then micro-batches; its own metric is
`rloo/credit`, the size of the advantages.
Source: arXiv:2402.14740 section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.advantages import Credit, Normalization, token_weights, turn_credit
from vigorl.core.rollout import ScoredRollout
from vigorl.models.losses import LossInputs, LossOutput, policy_gradient_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Rloo:
    """REINFORCE leave-one-out; for phases with one update, since nothing bounds a second one.

    Attributes:
        scale: Multiplies the advantages, above 0.
    """

    scale: float = 1.0

    needs_reference = False
    needs_old = False
    needs_zero_advantages = False  # no KL: a rollout without an advantage moves nothing

    def credit(self, groups: Sequence[Sequence[ScoredRollout]]) -> list[list[Credit]]:
        return [self._group_credit(group) for group in groups]

    def _group_credit(self, group: Sequence[ScoredRollout]) -> list[Credit]:
        rewards = [one.reward.total for one in group]
        total, others = sum(rewards), len(rewards) - 1
        advantages = [self.scale * (own - (total - own) / others) for own in rewards]
        return [
            turn_credit(one.rollout, [advantage] * len(one.rollout.turns))
            for one, advantage in zip(group, advantages, strict=True)
        ]

    def token_weights(self, num_tokens: Sequence[int], groups: Sequence[str]) -> list[float]:
        return token_weights(num_tokens, normalization=Normalization.TOKEN_MEAN)

    def loss(self, inputs: LossInputs) -> LossOutput:
        return policy_gradient_output(
            -inputs.advantages * inputs.policy_logprobs,
            inputs,
            metrics={"rloo/credit": inputs.advantages.abs()},
            maxima={},
        )
