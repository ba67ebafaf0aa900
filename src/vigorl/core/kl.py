"""How a KL to the reference is estimated, by name; `models.losses` has the formulas."""

from __future__ import annotations

from enum import StrEnum


class KLEstimator(StrEnum):
    """How a KL to the reference is estimated on a sampled token, and so what its gradient is where
    it is paid as a loss; with d = log policy - log reference.
    """

    # exp(-d) + d - 1, with the gradient of KL(reference || policy), the other way round: it points
    # along that of KL(policy || reference) while both are close (cosine 0.998 at 0.004 nats per
    # token), no longer at 0.9 nats (0.64). The released trainer's, and so the default: a KL of 0.01
    # stays close.
    K3 = "k3"
    # k3 times the token's ratio to the old policy, with gradient: that of KL(policy || reference),
    # also where the sampling policy is not that of now. Default of TRL since 1.16
    # (`use_bias_correction_kl`); DeepSeek-V3.2, arXiv:2512.02556.
    K3_CORRECTED = "k3_corrected"
    # d^2 / 2: the gradient of KL(policy || reference) where no weight has changed since sampling
    K2 = "k2"
    # the value of k3 or k1, the gradient of k2 (verl's "k3+" and "k1+")
    K3_PLUS = "k3+"
    K1_PLUS = "k1+"
    # |d|: a pull of the same size everywhere, biased (verl's "abs")
    ABS = "abs"
    # d. Of value in a reward; its gradient as a loss is that of log policy, whose mean over samples
    # of the policy is 0: it holds nothing, and is refused there.
    K1 = "k1"
