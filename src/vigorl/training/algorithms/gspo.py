"""GSPO: one ratio per sequence, the geometric mean over its tokens, and the mean over sequences.

What this is: the paper's objective, in its form with a ratio per token whose value is the
sequence's and whose gradient is the token's own:

    s_i = exp(mean_t log r_it)      s_it = stop(s_i) * pi_it / stop(pi_it)

Where a sequence has one advantage, as here, the gradient is that of GSPO itself; advantages that
differ from token to token would keep their meaning. The mean over many tokens hardly moves, so the
bounds are a thousand times narrower than GRPO's, and bind only where a phase has several updates
(the paper: four). Left out, because it would be another objective or never act: other averages than
the mean over sequences, a dual clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vigorl.core.advantages import Normalization
from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Positive
from vigorl.training.algorithms.policy_loss import ClipLow, PolicyLoss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import Clip, LossInputs

TOKEN_BOUND = 0.1  # from here on bounds are those of tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPO(PolicyLoss):
    """Group sequence policy optimisation; an `Algorithm`.

    Attributes:
        normalization: "sequence_mean": with another the gradient is not GSPO's.
        clip_low: Of a sequence's ratio; see `models.losses.Clip`.
        clip_high: See there.
        wide_bounds: Takes bounds that are meant for tokens, 0.1 and above, which hardly ever hold a
            mean over many of them (its largest ratio over 256 tokens that each move by 0.4 nats is
            1.12); for papers that say so, as SenseNova-MARS (arXiv:2512.24330: 0.2 and 0.28).
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: arXiv:2507.18071 eq. 5 to 7 (GSPO), 13 and 14 (per token), section 5.1 (bounds).
    """

    refused: ClassVar[dict[str, str]] = {
        "dual_clip": "it bounds what one token costs, and here a whole sequence has one ratio"
    }

    normalization: Normalization | str = Normalization.SEQUENCE_MEAN
    clip_low: ClipLow = 3e-4
    clip_high: Positive = 4e-4
    wide_bounds: bool = False

    def __post_init__(self) -> None:
        PolicyLoss.__post_init__(self)
        self._check_normalization()
        is_wide = max(self.clip_low, self.clip_high) >= TOKEN_BOUND
        if is_wide and not self.wide_bounds:
            raise ConfigError(
                f"algorithm.clip_low={self.clip_low:g}, algorithm.clip_high={self.clip_high:g} are "
                "bounds of a token's ratio, which the mean over a sequence hardly ever reaches; "
                "the paper's are 3e-4 and 4e-4 (algorithm.wide_bounds=true if it is meant)"
            )
        if self.wide_bounds and not is_wide:
            raise ConfigError(
                f"algorithm.wide_bounds has no effect with bounds below {TOKEN_BOUND:g}"
            )

    def _check_normalization(self) -> None:
        if self.normalization != Normalization.SEQUENCE_MEAN:
            raise ConfigError(
                f"algorithm.normalization={self.normalization} has another gradient than GSPO's; "
                "leave sequence_mean, or take algorithm=luspo for sequence_sum"
            )

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        from vigorl.models.losses import sequence_mean

        mean = sequence_mean(change.detach(), inputs.loss_mask.bool())  # [batch, 1]
        ratio, clip = (mean + (change - change.detach())).exp(), self._clip()
        return TokenLoss(
            clip.loss(ratio, inputs.advantages), clip.metrics(ratio, inputs.advantages)
        )

    def _clip(self) -> Clip:
        from vigorl.models.losses import Clip

        return Clip(low=self.clip_low, high=self.clip_high)
