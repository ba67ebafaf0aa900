"""Micro-batches by hand, as an algorithm sees them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vigorl.models.losses import LossInputs, LossOutput


def inputs(
    policy: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, weight: Tensor, **fields: Any
) -> LossInputs:
    """`advantages` may be [batch]: the same for all tokens of a sequence."""
    if advantages.ndim == 1:
        advantages = advantages[:, None].expand_as(policy)
    return LossInputs(
        policy_logprobs=policy,
        old_logprobs=old,
        advantages=advantages,
        loss_mask=mask,
        token_weight=weight,
        **fields,
    )


def mean(out: LossOutput, name: str) -> float:
    total, num = out.metrics[name]
    return (total / num).item()


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)
