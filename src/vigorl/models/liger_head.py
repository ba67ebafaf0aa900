"""Liger's kernel for the output head, in place of the tiles of `models.logprobs`; Hopper GPUs.

It gives what the tiles give, log-probability and entropy of each token with a gradient for each,
without logits in the GPU's memory. Two things differ. It works in bfloat16: entropies are rounded
to it, and the weight's gradient is summed in it, where the tiles sum in float32. And it bans no
tokens; their log-probabilities come out beside, and with s the sum of their probabilities

    log p' = log p - log(1 - s),    H' = (H + sum over the banned of p log p) / (1 - s) + log(1 - s)

Source: liger-kernel 0.8.5, ops/fused_linear_scaled_cross_entropy.py.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vigorl.core.errors import ConfigError

HOPPER = (9, 0)  # what the kernel is written for; elsewhere Liger makes [512, vocabulary] logits


def check_liger() -> None:
    """Whether it can be used here.

    Raises:
        ConfigError: It is not installed, or there is no GPU that it has a kernel for.
    """
    if find_spec("liger_kernel") is None:
        raise ConfigError("model.head=liger needs the extra: pip install 'vigorl[liger]'")
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != HOPPER:
        raise ConfigError("model.head=liger needs a Hopper GPU (H100, H200); set model.head=tiles")


def liger_scores(
    states: Float[Tensor, "n width"],
    weight: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " n"],
    *,
    temperature: float,
    banned: Int[Tensor, " k"],
    with_entropy: bool,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Log p(target), and entropy in nats (zeros if not wanted), float32, both with gradients.

    Args:
        states: Hidden states, of the dtype of the weight; at least one.
        weight: Of the head.
        targets: A token per state.
        temperature: Divides the logits.
        banned: Tokens that have no probability.
        with_entropy: Whether it is wanted.
    """
    from liger_kernel.ops.fused_linear_scaled_cross_entropy import (  # pyright: ignore[reportMissingImports]
        LigerFusedLinearScaledCrossEntropyFunction as Scores,
    )

    selected = banned if len(banned) else None
    found = Scores.apply(states, weight, targets, temperature, -100, 1, with_entropy, selected)
    nats, *more = found if isinstance(found, tuple) else (found,)
    entropy = more.pop(0).float() if with_entropy else torch.zeros_like(nats)
    if selected is None:
        return -nats, entropy

    (of_banned,) = more
    log_left = torch.log1p(-of_banned.exp().sum(-1))
    if with_entropy:
        entropy = (entropy + (of_banned.exp() * of_banned).sum(-1)) / log_left.exp() + log_left
    return -nats - log_left, entropy
