"""The policy gradient of a question, of the output head's weights alone, from stored tries.

Of one token it is the outer product of (chosen - p), [vocabulary], and the last hidden state, so an
inner product of two questions' gradients needs no backward pass: exact for these weights, and
nothing is said of the others.

Source: the form of CROPI, arXiv:2510.26491 (influence from stored rollouts), which projects the
gradient of all weights at random instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vigorl.core.errors import DataError
from vigorl.core.records import TraceRecord
from vigorl.core.trace import parse_trace
from vigorl.data.collate import collate
from vigorl.data.encoding import TrainingSample, encode_trace
from vigorl.models.policy import Policy
from vigorl.rollout.environment import Environment
from vigorl.search.searched import SearchedTask


class HeadGradients:
    """Gradients of sum over tries of (reward - mean reward) log p(try).

    Args:
        policy: Whose; nothing of it is changed.
        environment: Its dialogs.
    """

    def __init__(self, policy: Policy, environment: Environment) -> None:
        self.policy, self.environment = policy.eval(), environment

    @torch.no_grad()
    def total(self, searched: Sequence[SearchedTask]) -> Float[Tensor, "vocabulary width"]:
        """The sum of the questions' gradients, float32."""
        weight = self._weight
        found = torch.zeros(weight.shape, device=weight.device)
        for one in searched:
            for advantage, sample in self._tries(one):
                residuals, states = self._tokens(sample)
                found += advantage * residuals.T @ states
        return found

    @torch.no_grad()
    def along(self, one: SearchedTask, direction: Float[Tensor, "vocabulary width"]) -> float:
        """The inner product of a question's gradient with `direction`; 0 where all tries are worth
        the same.
        """
        found = 0.0
        for advantage, sample in self._tries(one):
            residuals, states = self._tokens(sample)
            found += advantage * float(((residuals @ direction) * states).sum())
        return found

    @property
    def _weight(self) -> Float[Tensor, "vocabulary width"]:
        return self.policy.model.lm_head.weight  # pyright: ignore

    def _tries(self, one: SearchedTask) -> Iterator[tuple[float, TrainingSample]]:
        """The advantage and the tokens of each try from the question itself; those that are no
        trace, or whose calls do not work, count in the mean alone.
        """
        tries, environment = one.tree.root.rollouts, self.environment
        mean = sum(t.reward for t in tries) / max(len(tries), 1)
        for told in tries:
            if told.reward == mean:
                continue
            try:
                record = TraceRecord(one.task, parse_trace(told.texts), frame=one.image.text_size)
                sample = encode_trace(
                    record,
                    prompt=environment.prompt,
                    codec=environment.codec,
                    images=environment.images,
                    tools=environment.tools,
                    max_calls=environment.limits.max_calls_per_turn,
                )
            except (DataError, ValueError):
                continue
            yield told.reward - mean, sample

    def _tokens(
        self, sample: TrainingSample
    ) -> tuple[Float[Tensor, "n vocabulary"], Float[Tensor, "n width"]]:
        """(chosen - p) and the hidden state of each token that the policy wrote, float32."""
        environment, weight = self.environment, self._weight
        batch = collate(
            [sample],
            images=environment.images,
            pad_id=environment.codec.pad_id,
            image_id=self.policy.image_token_id,
        ).to(self.policy.device)
        is_own, chosen = batch.loss_mask[0, 1:], batch.input_ids[0, 1:]
        states = self.policy(batch)[0, :-1][is_own]
        residuals = -(states @ weight.T).float().softmax(-1)
        residuals[torch.arange(len(states)), chosen[is_own]] += 1
        return residuals, states.float()
