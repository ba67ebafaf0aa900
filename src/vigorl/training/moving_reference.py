"""A reference that follows the policy, so that a KL holds it to where it lately was and not to
where it began.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vigorl.core.errors import ConfigError
from vigorl.models.parts import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingReference:
    """reference <- alpha policy + (1 - alpha) reference, after every so many phases.

    With alpha 1 it is set anew (ProRL, where validation has stalled; here by the clock). The moved
    weights stand in the checkpoint. Counted in phases, whose reference logprobs are read once.

    Attributes:
        alpha: In (0, 1].
        every: Phases, at least 1.
        reset_optimizer: The optimizer forgets its moments then, as in ProRL.
    Raises:
        ConfigError: A setting out of its range.
    Source: `sync_ref_model` of TRL 1.16 (alpha 0.6, every 512 steps; TR-DPO, arXiv:2404.09656);
        ProRL, arXiv:2505.24864, section 2.3.
    """

    alpha: float = 0.6
    every: int = 512
    reset_optimizer: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1 or self.every < 1:
            raise ConfigError(
                "module.moving_reference needs 0 < alpha <= 1 and every >= 1, "
                f"got alpha={self.alpha} and every={self.every}"
            )

    def is_due(self, done: int) -> bool:
        """After that many phases."""
        return done % self.every == 0

    @torch.no_grad()
    def move(self, reference: nn.Module, policy: nn.Module) -> None:
        """Every weight; both hold the same ones, in the same order."""
        for weight, own in zip(reference.parameters(), policy.parameters(), strict=True):
            weight.lerp_(whole(own).to(weight), self.alpha)
