"""Importance correction: the engine that sampled and the trainer that learns are two
distributions.

Same weights, other kernels, other dtype: the engine samples from q (`sampling_logprobs`) what the
trainer scores as p (`old_logprobs`). A policy gradient of p on samples of q is biased; weighting
each token's loss with p/q takes the bias out, and a cap keeps the variance in.

    levels   token          p/q of each token: low variance, biased by the gap of its neighbours
             sequence       their product over a rollout's sampled tokens: unbiased, high variance
             sequence_mean  their geometric mean: biased, does not grow with the length
    modes    truncate       min(p/q, cap_high)
             mask           p/q, but 0 outside [cap_low, cap_high]

Peers: verl and ms-swift have token and sequence with a cap of 2, TRL with a cap of 3. Left out:
weights normalised to a mean of 1 (no longer the same however a batch is cut), rejection by KL, and
`top_p` below 1, which is refused: engines say how likely a token was among those that its cut left,
so each ratio would hold the mass that was kept, and a rollout's product of them falls to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.models.losses import MAX_LOG_RATIO, MetricSum, log_ratio, sequence_mean

RATIO_EDGES = (0.5, 0.8, 0.95, 1.05, 1.25, 2.0)  # about even in the logarithm
RATIO_BUCKETS = (
    f"below_{RATIO_EDGES[0]:g}",
    *(f"{low:g}_to_{high:g}" for low, high in pairwise(RATIO_EDGES)),
    f"above_{RATIO_EDGES[-1]:g}",
)


class CorrectionLevel(StrEnum):
    """What one importance weight belongs to; the clip's ratio is the algorithm's own matter."""

    TOKEN = "token"
    SEQUENCE = "sequence"  # product of the ratios
    SEQUENCE_MEAN = "sequence_mean"  # geometric mean of the ratios


class CorrectionMode(StrEnum):
    """What becomes of ratios past a cap."""

    TRUNCATE = "truncate"  # min(ratio, cap_high)
    MASK = "mask"  # 0 outside [cap_low, cap_high]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceCorrection:
    """How the gap between engine and trainer is corrected.

    Attributes:
        level: One weight per token, or per rollout.
        mode: What becomes of ratios past a cap.
        cap_low: In (0, 1); only masking takes one. None sets no lower bound.
        cap_high: Above 1.
        min_gap: Nats. A rollout none of whose tokens has a larger gap than this is weighted with
            exactly 1: where engine and trainer agree to rounding, there is nothing to correct.
    Raises:
        ConfigError: A level or mode that does not exist, or a cap that is out of range or has no
            effect.
    """

    level: CorrectionLevel | str = CorrectionLevel.TOKEN
    mode: CorrectionMode | str = CorrectionMode.TRUNCATE
    cap_low: float | None = None
    cap_high: float = 2.0
    min_gap: float = 1e-4

    def __post_init__(self) -> None:
        for key, known in (("level", CorrectionLevel), ("mode", CorrectionMode)):
            if getattr(self, key) not in list(known):
                raise ConfigError(
                    f"importance_correction.{key} must be one of {', '.join(known)}, "
                    f"got {getattr(self, key)!r}"
                )
        if not self.cap_high > 1:
            raise ConfigError(f"importance_correction.cap_high must be above 1: {self.cap_high}")
        if self.cap_low is not None and self.mode == CorrectionMode.TRUNCATE:
            raise ConfigError("importance_correction.cap_low has no effect with mode=truncate")
        if self.cap_low is not None and not 0 < self.cap_low < 1:
            raise ConfigError(f"importance_correction.cap_low must be in (0, 1): {self.cap_low}")
        if not self.min_gap >= 0:
            raise ConfigError(f"importance_correction.min_gap must be >= 0: {self.min_gap}")


class ImportanceWeights(NamedTuple):
    """Detached factors of the tokens' policy-gradient loss, and which of them a cap has changed."""

    weights: Float[Tensor, "batch tokens"]
    is_capped: Bool[Tensor, "batch tokens"]


@torch.no_grad()
def importance_weights(
    old_logprobs: Float[Tensor, "batch tokens"],
    sampling_logprobs: Float[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    *,
    correction: ImportanceCorrection,
) -> ImportanceWeights:
    """What each sampled token's policy-gradient loss is multiplied with.

    With d = old - sampling: exp(d) per token, exp(sum d) or exp(mean d) per rollout, the sums over
    the tokens that the mask picks in all of its turns; then the caps. A row is a whole rollout, so
    no cut into micro-batches changes a weight. A token that the caps take out still counts where
    losses are averaged, as in IcePop.

    Args:
        old_logprobs: Nats, the trainer's, under the weights that sampled.
        sampling_logprobs: Nats, the engine's.
        loss_mask: 1 on sampled tokens; elsewhere the weight is 1.
        correction: Level, mode and caps.
    Source: truncated: E. Ionides, "Truncated Importance Sampling", JCGS 17 (2008); that per token,
        between engine and trainer: F. Yao et al., "Your Efficient RL Framework Secretly Brings You
        Off-Policy RL Training" (2025), TIS. Masked on both sides: IcePop in arXiv:2510.18855. Per
        sequence: J. Liu et al., "When Speed Kills Stability" (2025).
    """
    mask = loss_mask.bool()
    gap = log_ratio(old_logprobs, sampling_logprobs, mask)
    is_nil = gap.abs().amax(-1, keepdim=True) <= correction.min_gap
    if correction.level == CorrectionLevel.SEQUENCE:
        gap = gap.sum(-1, keepdim=True)
    elif correction.level == CorrectionLevel.SEQUENCE_MEAN:
        gap = sequence_mean(gap, mask)
    is_corrected = mask & ~is_nil
    ratio = torch.where(is_corrected, gap, 0.0).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()

    is_capped = ratio > correction.cap_high
    if correction.mode == CorrectionMode.TRUNCATE:
        return ImportanceWeights(ratio.clamp(max=correction.cap_high), is_capped)
    if correction.cap_low is not None:
        is_capped = is_capped | (ratio < correction.cap_low)
    return ImportanceWeights(torch.where(is_capped, 0.0, ratio), is_capped)


@torch.no_grad()
def sampling_gap_metrics(
    old_logprobs: Float[Tensor, "batch tokens"],
    sampling_logprobs: Float[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
) -> tuple[dict[str, MetricSum], dict[str, Tensor]]:
    """How far engine and trainer disagree, before any correction.

    Returns:
        Means per sampled token, as sums with their counts: `kl/sampling_vs_train`, nats (k3 of
        KL(engine || trainer)), and `sampling_ratio/<bucket>_frac`, the share of tokens whose own
        ratio trainer / engine lies in [low, high) of each of `RATIO_BUCKETS`. And maxima:
        `kl/sampling_gap_max`, nats.
    """
    mask = loss_mask.bool()
    log_ratios = log_ratio(old_logprobs, sampling_logprobs, mask)
    ratio, num = log_ratios.exp(), mask.sum().cpu()
    k3 = ratio - 1 - log_ratios
    edges = torch.tensor(RATIO_EDGES, device=ratio.device, dtype=ratio.dtype)
    bucket = torch.bucketize(ratio[mask], edges, right=True)
    counts = torch.bincount(bucket, minlength=len(RATIO_BUCKETS)).cpu()
    sums = {"kl/sampling_vs_train": MetricSum(k3.sum(), num)} | {
        f"sampling_ratio/{name}_frac": MetricSum(count, num)
        for name, count in zip(RATIO_BUCKETS, counts, strict=True)
    }
    gap = torch.where(mask, old_logprobs - sampling_logprobs, 0.0)
    return sums, {"kl/sampling_gap_max": gap.abs().max()}
