"""What losses are made of, as pure functions of log-probabilities: ratios, clips, the KL to the
reference, and the sums that make a loss of token losses. `training.algorithms` puts them together.

Every loss is `sum_i w_i * sum_t m_it * l_it`. The weights w come from
`core.advantages.token_weights` over the WHOLE optimizer batch, so a loss is a plain sum:
micro-batches and ranks add up to it exactly, however the batch was cut. (The released code averages
over each micro-batch, so a token's weight depends on its company.) Whoever averages gradients over
N ranks or N accumulated micro-batches must multiply by N again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.kl import KLEstimator

MAX_LOG_RATIO = 20.0  # exp(20) = 5e8: beyond this only the overflow matters
MAX_KL = 10.0  # of one token, in nats; `low_var_kl` of the released trainer caps it there


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


def shaped_imitation_loss(
    policy_logprobs: Float[Tensor, "batch tokens"],
    advantages: Float[Tensor, "batch tokens"],
    mask: Shaped[Tensor, "batch tokens"],
    token_weight: Float[Tensor, " batch"],
    *,
    gamma: float,
) -> Tensor:
    """-sum_i w_i sum_t m_it A_it p_it / (p_it + gamma): what an answer of somebody else teaches.

    Unlike a ratio to whoever wrote it, which nobody knows, the factor is in (0, 1), and its slope
    in log p is largest at p = gamma: rare tokens are not blown up.

    Source: LUFFY, arXiv:2504.14945 (gamma 0.1).
    """
    probs = torch.where(mask.bool(), policy_logprobs, 0.0).exp()
    token_loss = -advantages * probs / (probs + gamma) * token_weight[:, None]
    return torch.where(mask.bool(), token_loss, 0.0).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInputs:
    """A micro-batch as a policy gradient sees it. All are [batch, tokens] but the weights; logprobs
    are in nats and finite wherever the mask is 1; only those of the policy carry a gradient.

    Attributes:
        policy_logprobs: Under the weights being trained.
        old_logprobs: Under the trainer's weights of the phase's start, by the same code.
        advantages: Unitless; may differ from token to token.
        loss_mask: 1 on the tokens to learn from.
        token_weight: [batch] what each of a sequence's tokens counts in the optimizer batch.
        ref_logprobs: Under the reference; None where the algorithm needs none.
        sampling_logprobs: What the engine said that sampled, and of guests, whom none did, the old
            ones; None where it said nothing.
        importance_weights: Of the trainer's old policy over the engine (`models.correction`); they
            multiply the policy's token losses, never the KL. None is 1 everywhere.
        token_factors: Multiply the policy's token losses, never the KL; None is 1 everywhere.
        signals: What token signals say of each token, by name.
        entropy: Of the policy at each token, detached, only measured.
        changed_logprobs: Of the policy under the changed pictures of the signals that the algorithm
            asks for, with gradient, by name of the signal; see `training.algorithms.protocol`.
        marks: What the algorithm has said of each token from the whole optimizer batch, detached;
            None where it needs none. See `training.marks`.
        kl_factor: Multiplies the price of the KL to the reference.
    """

    policy_logprobs: Float[Tensor, "batch tokens"]
    old_logprobs: Float[Tensor, "batch tokens"]
    advantages: Float[Tensor, "batch tokens"]
    loss_mask: Shaped[Tensor, "batch tokens"]
    token_weight: Float[Tensor, " batch"]
    ref_logprobs: Float[Tensor, "batch tokens"] | None = None
    sampling_logprobs: Float[Tensor, "batch tokens"] | None = None
    importance_weights: Float[Tensor, "batch tokens"] | None = None
    token_factors: Float[Tensor, "batch tokens"] | None = None
    signals: Mapping[str, Tensor] = field(default_factory=dict)
    entropy: Float[Tensor, "batch tokens"] | None = None
    changed_logprobs: Mapping[str, Tensor] = field(default_factory=dict)
    marks: Float[Tensor, "batch tokens"] | None = None
    kl_factor: float = 1.0


def log_ratio(
    numerator: Float[Tensor, "batch tokens"],
    denominator: Float[Tensor, "batch tokens"],
    mask: Shaped[Tensor, "batch tokens"],
) -> Float[Tensor, "batch tokens"]:
    """Difference of logprobs in nats, held in +-20; 0 where the mask is 0."""
    difference = torch.where(mask.bool(), numerator - denominator, 0.0)
    return difference.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def sequence_mean(
    values: Float[Tensor, "batch tokens"], mask: Shaped[Tensor, "batch tokens"]
) -> Float[Tensor, "batch 1"]:
    """Each sequence's mean over its masked tokens; `values` are 0 elsewhere."""
    return values.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """PPO's bounds on a ratio of the policy to the old policy.

    Attributes:
        low: In (0, 1). Ratios under 1 - low teach nothing when A < 0.
        high: Above 0. Ratios over 1 + high teach nothing when A > 0 (DAPO's "clip higher").
        dual: Above 1 + high. Where A < 0 a token costs no more than dual * |A|, so that one which
            the policy has come to love cannot blow up the step. None leaves it out.
    Raises:
        ConfigError: A bound out of its range.
    Source: PPO arXiv:1707.06347 eq. 7; dual clip arXiv:1912.09729 eq. 5; clip higher
        arXiv:2503.14476 eq. 10.
    """

    low: float
    high: float
    dual: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.low < 1 or self.high <= 0:
            raise ConfigError(
                "need 0 < clip_low < 1 and clip_high > 0, "
                f"got clip_low={self.low}, clip_high={self.high}"
            )
        if self.dual is not None and self.dual <= 1 + self.high:
            raise ConfigError(
                f"dual_clip must be above 1 + clip_high = {1 + self.high:g}, got {self.dual}"
            )

    def loss(
        self, ratio: Float[Tensor, "batch tokens"], advantages: Float[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens"]:
        """-min(r A, clip(r, 1 - low, 1 + high) A) of each token, and the dual bound on it."""
        clipped = ratio.clamp(1 - self.low, 1 + self.high)
        token_loss = torch.maximum(-advantages * ratio, -advantages * clipped)
        if self.dual is None:
            return token_loss
        capped = torch.minimum(token_loss, -advantages * self.dual)
        return torch.where(advantages < 0, capped, token_loss)

    def metrics(
        self, ratio: Float[Tensor, "batch tokens"], advantages: Float[Tensor, "batch tokens"]
    ) -> dict[str, Float[Tensor, "batch tokens"]]:
        """1.0 where a bound holds a token, by metric name."""
        metrics = {
            "clip/low_frac": ((advantages < 0) & (ratio < 1 - self.low)).float(),
            "clip/high_frac": ((advantages > 0) & (ratio > 1 + self.high)).float(),
        }
        if self.dual is not None:
            metrics["clip/dual_frac"] = ((advantages < 0) & (ratio > self.dual)).float()
        return metrics


def policy_gradient_output(
    token_loss: Float[Tensor, "batch tokens"],
    inputs: LossInputs,
    *,
    kl_coef: float = 0.0,
    kl_estimator: KLEstimator = KLEstimator.K3,
    beside: Float[Tensor, "batch tokens"] | None = None,
    metrics: Mapping[str, Tensor],
    maxima: Mapping[str, Tensor],
) -> LossOutput:
    """Correct, add the KL to the reference, weigh and sum token losses, as all algorithms do.

    Args:
        token_loss: Of the policy, before any weight.
        inputs: What it was made from.
        kl_coef: What a nat of KL to the reference costs; needs `ref_logprobs`.
        kl_estimator: Of the KL that is paid; `kl/ref` is k3 whatever it is.
        beside: Of terms that no weight or factor multiplies, as none does the KL; None is 0.
        metrics: [batch, tokens] by name; `train/policy_loss`, `kl/ref`, `train/entropy` and
            `signal/...` are added.
        maxima: Scalars by name.
    """
    mask = inputs.loss_mask.bool()
    for factors in (inputs.importance_weights, inputs.token_factors):
        if factors is not None:
            token_loss = token_loss * factors.detach()
    signals = {f"signal/{name}": values for name, values in inputs.signals.items()}
    measured = {"train/policy_loss": token_loss, **metrics, **signals}
    if inputs.ref_logprobs is not None:
        measured["kl/ref"] = k3_kl(inputs.policy_logprobs, inputs.ref_logprobs.detach(), mask)
        paid = paid_kl(inputs, kl_estimator, k3=measured["kl/ref"])
        token_loss = token_loss + kl_coef * inputs.kl_factor * paid
    if beside is not None:
        token_loss = token_loss + beside
    if inputs.entropy is not None:
        measured["train/entropy"] = inputs.entropy
    return LossOutput(
        loss=torch.where(mask, token_loss * inputs.token_weight[:, None], 0.0).sum(),
        metrics={
            name: MetricSum(torch.where(mask, value.detach(), 0.0).sum(), mask.sum())
            for name, value in measured.items()
        },
        maxima=maxima,
    )


def paid_kl(
    inputs: LossInputs, estimator: KLEstimator, *, k3: Float[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens"]:
    """The KL to the reference as a loss of each token; 0 where the mask is 0.

    Args:
        inputs: With `ref_logprobs`.
        estimator: Which one.
        k3: That one, already known.
    Source: verl 1dda039b9, `core_algos.kl_penalty`; TRL 1.16 for k3_corrected.
    """
    if estimator is KLEstimator.K3:
        return k3
    if estimator is KLEstimator.K3_CORRECTED:
        return corrected_k3(inputs, k3)
    assert inputs.ref_logprobs is not None
    k1 = log_ratio(inputs.policy_logprobs, inputs.ref_logprobs.detach(), inputs.loss_mask)
    if estimator is KLEstimator.K1:
        return k1
    if estimator is KLEstimator.ABS:
        return k1.abs()
    k2 = k1.square() / 2
    if estimator is KLEstimator.K2:
        return k2
    value = k3 if estimator is KLEstimator.K3_PLUS else k1
    return value.detach() + (k2 - k2.detach())


def corrected_k3(
    inputs: LossInputs, k3: Float[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens"]:
    """k3 times r = policy / old of each token, with the gradient of that product,

        grad(r k3) = r (log policy - log reference) grad log policy,

    written down instead of derived: it is a small difference of numbers that overflow where the
    policy has all but given a token up.
    """
    assert inputs.ref_logprobs is not None
    policy, mask = inputs.policy_logprobs, inputs.loss_mask
    ratio = log_ratio(policy.detach(), inputs.old_logprobs, mask).exp()
    slope = ratio * log_ratio(policy.detach(), inputs.ref_logprobs, mask)
    change = torch.where(mask.bool(), policy - policy.detach(), 0.0)  # 0, with a gradient
    return ratio * k3.detach() + slope * change


def largest_ratio(ratio: Tensor, mask: Tensor) -> Tensor:
    """Over the tokens to learn from, detached; 0 without any."""
    return torch.where(mask.bool(), ratio.detach(), 0.0).max()


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
    difference = log_ratio(ref_logprobs, policy_logprobs, mask)
    return (difference.exp() - difference - 1).clamp(max=MAX_KL)
