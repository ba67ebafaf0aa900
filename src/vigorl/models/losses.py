"""The losses, as pure functions of log-probabilities: supervised, and GRPO with clips and KL.

Every loss is `sum_i w_i * sum_t m_it * l_it`. The weights w come from
`core.advantages.token_weights` over the WHOLE optimizer batch, so a loss is a plain sum:
micro-batches and ranks add up to it exactly, however the batch was cut. (The released code averages
over each micro-batch, so a token's weight depends on its company.) Whoever averages gradients over
N ranks or N accumulated micro-batches must multiply by N again.

The old log-probabilities are the trainer's own, recomputed; what the engine thought of its tokens
comes in as importance weights (`models.correction`). Left out: a value function, an entropy bonus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vigorl.core.errors import ConfigError

MAX_LOG_RATIO = 20.0  # exp(20) = 5e8: beyond this only the overflow matters
MAX_KL = 10.0  # of one token, in nats; `low_var_kl` of the released trainer caps it there


class ImportanceLevel(StrEnum):
    """What one importance ratio belongs to."""

    TOKEN = "token"  # a ratio per token (PPO, GRPO)
    SEQUENCE = "sequence"  # the geometric mean over the sequence (GSPO, arXiv:2507.18071)


class MetricSum(NamedTuple):
    """A mean that can be added up: over micro-batches and ranks it is sum(total) / sum(num)."""

    total: Tensor
    num: Tensor


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A loss to call `backward` on, and detached scalars about it.

    Attributes:
        loss: Scalar; add it up over micro-batches and ranks, never average it.
        metrics: Means per loss token, as sums with their counts.
        maxima: Largest values; over micro-batches and ranks, take the largest again.
    """

    loss: Tensor
    metrics: Mapping[str, MetricSum]
    maxima: Mapping[str, Tensor] = field(default_factory=dict)


def sft_loss(
    logprobs: Float[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    token_weight: Float[Tensor, " batch"],
) -> LossOutput:
    """Weighted negative log-likelihood of the tokens that `loss_mask` picks.

    Args:
        logprobs: Nats, finite wherever the mask is 1.
        loss_mask: 1 on tokens to learn from.
        token_weight: What each of a sequence's tokens counts.
    """
    mask = loss_mask.bool()
    nll = torch.where(mask, -logprobs, 0.0)
    return LossOutput(
        loss=(nll * token_weight[:, None]).sum(),
        metrics={"train/nll": MetricSum(nll.detach().sum(), mask.sum())},
    )


def grpo_loss(
    policy_logprobs: Float[Tensor, "batch tokens"],
    old_logprobs: Float[Tensor, "batch tokens"],
    advantages: Float[Tensor, " batch"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    token_weight: Float[Tensor, " batch"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 3.0,
    kl_coef: float = 0.0,
    ref_logprobs: Float[Tensor, "batch tokens"] | None = None,
    entropy: Float[Tensor, "batch tokens"] | None = None,
    importance_level: ImportanceLevel | str = ImportanceLevel.TOKEN,
    importance_weights: Float[Tensor, "batch tokens"] | None = None,
) -> LossOutput:
    """Clipped policy gradient with the group's advantages, plus KL to the reference as a loss.

    With r = exp(policy - old): l = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), and where A <
    0 no more than dual_clip * |A|, so that a token the policy has come to love cannot blow up the
    step. Importance weights multiply l, clips and all, and leave the KL alone.

    Args:
        policy_logprobs: Nats, under the weights being trained.
        old_logprobs: Nats, under the weights that sampled, from the same forward pass code; no
            gradient.
        advantages: One per sequence, unitless.
        loss_mask: 1 on sampled tokens.
        token_weight: What each of a sequence's tokens counts.
        clip_low: Ratios under 1 - clip_low teach nothing when A < 0.
        clip_high: Ratios over 1 + clip_high teach nothing when A > 0 (DAPO's "clip higher").
        dual_clip: Above 1; None leaves it out.
        kl_coef: What a nat of KL to the reference costs; needs `ref_logprobs`.
        ref_logprobs: Nats, under the reference; given with kl_coef 0 it is only measured.
        entropy: Nats per token, only measured.
        importance_level: Ratio per token, or per sequence.
        importance_weights: Of the policy that `old_logprobs` come from over the engine that
            sampled, no gradient; None is 1 everywhere.
    Raises:
        ConfigError: A clip outside its range, or `kl_coef` without `ref_logprobs`.
    Source: PPO arXiv:1707.06347 eq. 7; dual clip arXiv:1912.09729 eq. 5; clip higher
        arXiv:2503.14476 eq. 10.
    """
    _check_settings(clip_low, clip_high, dual_clip, kl_coef, ref_logprobs)
    mask = loss_mask.bool()
    log_ratio = _log_ratio(policy_logprobs, old_logprobs.detach(), mask)
    if ImportanceLevel(importance_level) is ImportanceLevel.SEQUENCE:
        mean = log_ratio.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
        log_ratio = torch.where(mask, mean, 0.0)
    ratio = log_ratio.exp()  # [batch, tokens], 1 where the mask is 0
    advantage = advantages[:, None].expand_as(ratio)

    token_loss = torch.maximum(
        -advantage * ratio, -advantage * ratio.clamp(1 - clip_low, 1 + clip_high)
    )
    if dual_clip is not None:
        capped = torch.minimum(token_loss, -advantage * dual_clip)
        token_loss = torch.where(advantage < 0, capped, token_loss)
    if importance_weights is not None:
        token_loss = token_loss * importance_weights.detach()
    metrics = {"train/policy_loss": token_loss}
    if ref_logprobs is not None:
        metrics["kl/ref"] = k3_kl(policy_logprobs, ref_logprobs.detach(), mask)
        token_loss = token_loss + kl_coef * metrics["kl/ref"]

    metrics |= {
        "kl/old": ratio - 1 - log_ratio,  # k3 of KL(old || policy) on samples of old
        "clip/low_frac": ((advantage < 0) & (ratio < 1 - clip_low)).float(),
        "clip/high_frac": ((advantage > 0) & (ratio > 1 + clip_high)).float(),
    }
    if dual_clip is not None:
        metrics["clip/dual_frac"] = ((advantage < 0) & (ratio > dual_clip)).float()
    if entropy is not None:
        metrics["train/entropy"] = entropy
    return LossOutput(
        loss=torch.where(mask, token_loss * token_weight[:, None], 0.0).sum(),
        metrics={
            name: MetricSum(torch.where(mask, value.detach(), 0.0).sum(), mask.sum())
            for name, value in metrics.items()
        },
        maxima={"train/ratio_max": torch.where(mask, ratio.detach(), 0.0).max()},
    )


def k3_kl(
    policy_logprobs: Float[Tensor, "batch tokens"],
    ref_logprobs: Float[Tensor, "batch tokens"],
    mask: Shaped[Tensor, "batch tokens"],
) -> Float[Tensor, "batch tokens"]:
    """Per-token estimate of KL(policy || reference): exp(d) - d - 1 with d = ref - policy.

    Never negative, 0 where both agree and where the mask is 0. As in the released trainer d is held
    in +-20, and the estimate at 10 nats, above which it pulls no more.

    Source: J. Schulman, "Approximating KL divergence", estimator k3; `low_var_kl` in EasyR1's
        `core_algos.py`.
    """
    difference = _log_ratio(ref_logprobs, policy_logprobs, mask.bool())
    return (difference.exp() - difference - 1).clamp(max=MAX_KL)


def _log_ratio(numerator: Tensor, denominator: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, numerator - denominator, 0.0).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _check_settings(
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
    kl_coef: float,
    ref_logprobs: Tensor | None,
) -> None:
    if not 0 < clip_low < 1 or clip_high <= 0:
        raise ConfigError(f"need 0 < clip_low < 1 and clip_high > 0, got {clip_low=}, {clip_high=}")
    if dual_clip is not None and dual_clip <= 1 + clip_high:
        raise ConfigError(f"dual_clip must be above 1 + clip_high, got {dual_clip=}, {clip_high=}")
    if kl_coef < 0 or (kl_coef > 0 and ref_logprobs is None):
        raise ConfigError(
            f"kl_coef must be >= 0 and needs ref_logprobs when above 0, got {kl_coef=}"
        )
