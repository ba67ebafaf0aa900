"""LUSPO: GSPO whose tokens are summed over their sequence instead of averaged, so that a long
answer counts as much per token as a short one.

    s_i = exp(mean_t log r_it)      loss = mean_i |o_i| * max(-s_i A_i, -clip(s_i) A_i)

What this is: the objective as TRL has it. In the form of `gspo.GSPO` with a ratio per token, so
that masks, factors and credit per token act on their tokens. Left out: nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.advantages import Normalization
from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Positive
from vigorl.training.algorithms.gspo import GSPO
from vigorl.training.algorithms.policy_loss import ClipLow


@dataclass(frozen=True, slots=True, kw_only=True)
class LUSPO(GSPO):
    """Length-unbiased sequence policy optimisation; an `Algorithm`.

    Attributes:
        normalization: "sequence_sum".
        clip_low: Of a sequence's ratio; see `models.losses.Clip`.
        clip_high: See there.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: TRL 1.16.0, `loss_type=luspo`, and its defaults for it.
    """

    normalization: Normalization | str = Normalization.SEQUENCE_SUM
    clip_low: ClipLow = 2e-3
    clip_high: Positive = 2.5e-3

    def _check_normalization(self) -> None:
        if self.normalization != Normalization.SEQUENCE_SUM:
            raise ConfigError(
                f"algorithm.normalization={self.normalization} is not LUSPO's; "
                "leave sequence_sum, or take algorithm=gspo for sequence_mean"
            )
