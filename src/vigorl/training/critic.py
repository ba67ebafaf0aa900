"""A critic: a model of its own, that says before each token what a rollout will be paid from there
on. With `algorithm=ppo` or `bilevel_gae` it learns beside the policy, in the same steps.

    phase's start   values, without gradient -> TokenReadings -> Estimator -> advantages, returns
    each step       values again -> clipped value loss against the returns

As in verl and VAGEN: the policy's start checkpoint once more, its output head replaced by one of a
single number. That head begins at 0, so the first phase's advantages are what was paid; theirs
begin at random. A frozen tower is the policy's, so its features are not computed again. Left out:
a backbone that is shared with the policy, and a critic of another model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models.parts import total_norm
from vigorl.models.policy import Policy
from vigorl.training.algorithms.protocol import needs_critic


class Critic(nn.Module):
    """Values of tokens, and what of its settings are the critic's own.

    Args:
        backbone: A model that nobody else holds; its output head goes.
        lr: Its learning rate, constant.
        weight_decay: On its matrices.
        clip: Above 0, in units of the reward: how far a value may move within a phase before it
            teaches no more. None leaves it out.
        warmup_phases: In so many first phases the critic learns alone.
    Raises:
        ConfigError: A setting out of its range.
    Source: clipped value loss: `compute_value_loss` of verl at 1dda039b9 (0.5); lr 1e-5 and no
        warm-up phases: its default, and VAGEN's.
    """

    def __init__(
        self,
        backbone: Policy,
        *,
        lr: float,
        weight_decay: float = 0.01,
        clip: float | None = 0.5,
        warmup_phases: int = 0,
    ) -> None:
        super().__init__()
        if lr <= 0 or weight_decay < 0 or warmup_phases < 0 or (clip is not None and clip <= 0):
            raise ConfigError(
                "critic needs lr > 0, weight_decay >= 0, clip > 0 or null, and warmup_phases >= 0, "
                f"got {lr=}, {weight_decay=}, {clip=}, {warmup_phases=}"
            )
        self.lr, self.weight_decay = lr, weight_decay
        self.clip, self.warmup_phases = clip, warmup_phases
        backbone.model.lm_head = nn.Identity()  # pyright: ignore[reportArgumentType]
        self.backbone = backbone
        self.head = nn.Linear(backbone.model.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.train()  # models load in eval mode, in which gradient checkpointing is off

    def forward(
        self, batch: TrainingBatch, features: Float[Tensor, "image_tokens width"] | None = None
    ) -> Float[Tensor, "batch tokens"]:
        """What is expected before each token of the loss mask, in units of the reward, fp32; 0.0
        elsewhere. The arguments are those of `Policy.forward`.
        """
        rows, columns = batch.loss_mask.nonzero(as_tuple=True)
        before = self.backbone(batch, features, at=(rows, columns - 1))
        with torch.autocast(before.device.type, enabled=False):
            values = self.head(before.to(self.head.weight.dtype)).squeeze(-1).float()
        blank = torch.zeros(batch.loss_mask.shape, dtype=values.dtype, device=values.device)
        return blank.index_put((rows, columns), values)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Inside, without dropout, as `PolicyModule.scoring`."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    def learn(
        self, batch: TrainingBatch, features: Tensor | None
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """This micro-batch's share of the mean loss over the loss tokens of the optimizer batch,
        however the algorithm weighs the policy's; and (sum, count) of what is measured.
        """
        values, mask = self(batch, features), batch.loss_mask
        assert batch.token_share is not None
        if batch.returns is None or batch.old_values is None:  # all of it is masked
            return 0.0 * values.sum(), {}
        found = clipped_value_loss(values, batch.old_values, batch.returns, clip=self.clip)
        loss = torch.where(mask, found.loss * batch.token_share[:, None], 0.0).sum()
        num = mask.sum()
        sums = {
            "critic/loss": (torch.where(mask, found.loss.detach(), 0.0).sum(), num),
            "critic/clip_frac": ((found.is_clipped & mask).sum(), num),
        }
        return loss, sums

    def trained_parameters(self) -> list[nn.Parameter]:
        return [weight for weight in self.parameters() if weight.requires_grad]

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Of the optimizer that steps policy and critic, whose moments never mix."""
        trained = self.trained_parameters()
        of_decay = {
            self.weight_decay: [weight for weight in trained if weight.ndim >= 2],
            0.0: [weight for weight in trained if weight.ndim < 2],
        }
        if not self.weight_decay:
            of_decay = {0.0: trained}
        return [
            {"params": weights, "weight_decay": decay, "lr": self.lr}
            for decay, weights in of_decay.items()
            if weights
        ]

    def check_gradient(self) -> Mapping[str, float]:
        """Its norm, as a metric; one that is not finite is dropped: that step is left out."""
        trained = self.trained_parameters()
        gradients = [weight.grad for weight in trained if weight.grad is not None]
        norm = float(total_norm(gradients))
        if norm < float("inf"):
            return {"critic/grad_norm": norm}
        drop_gradients(trained)
        return {"critic/skipped": 1.0}


def check_critic(algorithm: object, *, is_there: bool) -> None:
    """Raises ConfigError where an algorithm goes without its critic, or a critic has no effect."""
    if needs_critic(algorithm) and not is_there:
        raise ConfigError(
            "the algorithm needs a critic: set critic, as configs/algorithm/_critic.yaml does"
        )
    if is_there and not needs_critic(algorithm):
        raise ConfigError(
            "critic has no effect: the credit of the algorithm goes by none, as that of "
            "algorithm=ppo does"
        )


class ValueLoss(NamedTuple):
    """Of each token; both [batch, tokens]."""

    loss: Tensor
    is_clipped: Tensor  # the clipped value's error is larger, so that the token teaches nothing


def clipped_value_loss(
    values: Float[Tensor, "batch tokens"],
    old_values: Float[Tensor, "batch tokens"],
    returns: Float[Tensor, "batch tokens"],
    *,
    clip: float | None,
) -> ValueLoss:
    """1/2 max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2).

    Args:
        values: Of the critic now, with gradient.
        old_values: Of the phase's start.
        returns: What should have been expected.
        clip: c; None is the plain squared error.
    Source: PPO as released by OpenAI; `compute_value_loss` of verl at 1dda039b9.
    """
    plain = (values - returns).square()
    if clip is None:
        return ValueLoss(0.5 * plain, torch.zeros_like(plain, dtype=torch.bool))
    held = values.clamp(old_values - clip, old_values + clip)
    clipped = (held - returns).square()
    return ValueLoss(0.5 * torch.maximum(plain, clipped), clipped > plain)


def drop_gradients(weights: list[nn.Parameter]) -> None:
    """An optimizer leaves them alone then, and their moments."""
    for weight in weights:
        weight.grad = None
