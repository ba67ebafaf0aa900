"""GPG: the policy gradient itself, without a ratio, a clip, a critic or a reference.

    loss_t = -A log pi_t

What this is: the paper's loss, the mean over all tokens of the update. Its advantages, which are
not divided by a spread but scaled by rollouts over those with a reward, are an estimator of their
own. Left out: nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.advantages import Normalization
from vigorl.core.ranges import FromOne
from vigorl.training.algorithms.reinforce import REINFORCE


@dataclass(frozen=True, slots=True, kw_only=True)
class GPG(REINFORCE):
    """Group policy gradient; an `Algorithm`.

    Attributes:
        max_weight: As in `REINFORCE`; the paper corrects nothing.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2504.02546; verl 1dda039b9, `compute_policy_loss_gpg`.
    """

    normalization: Normalization | str = Normalization.TOKEN_MEAN
    max_weight: FromOne | None = None
