"""What losses on a ratio of policies share: whose ratio it is, which tokens are left out, how
tokens are averaged, and what is measured. A loss of its own is one method, `token_loss`.

    log policy - log anchor -> token_loss -> masks -> KL to the reference -> token weights -> sum

Masks multiply the policy's losses; token weights stay those of all tokens that are learned from, as
in TRL and verl, and `train/kept_frac` is the share that is left. The KL is never masked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

from vigorl.core.advantages import Normalization, check_normalization, token_weights
from vigorl.core.errors import ConfigError
from vigorl.core.kl import KLEstimator
from vigorl.core.ranges import AtLeastOne, Finite, Range, ShareAboveZero
from vigorl.training.algorithms.group_relative import GroupRelative

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs, LossOutput
    from vigorl.training.marks import UpdateTokens


ClipLow = Annotated[float, Range(gt=0, lt=1)]


class TokenLoss(NamedTuple):
    """What an algorithm makes of its tokens; all [batch, tokens].

    Attributes:
        loss: Of the policy, before masks and weights.
        metrics: By name, measured over the tokens that are learned from.
        beside: Of terms that no mask or weight multiplies; None is 0.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor] = {}
    beside: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss(GroupRelative):
    """An `Algorithm` but for `token_loss`.

    Attributes:
        normalization: How the tokens of an optimizer batch are averaged.
        constant_length: Tokens; only for "constant_length".
        top_entropy_frac: Share of the update's tokens, in (0, 1], that get a gradient: those whose
            entropy is not below that quantile of all of them, at the phase's start. None takes all.
        off_policy_threshold: Nats per token. A rollout's tokens of a negative advantage get no
            gradient where the policy has moved away from the engine that sampled them by more than
            this on average, mean(log engine - log policy). None takes all.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: `top_entropy_frac`: arXiv:2506.01939 (0.2), TRL 1.16's `top_entropy_quantile`.
        `off_policy_threshold`: DeepSeek-V3.2, arXiv:2512.02556, eq. 8 to 9; TRL 1.16's
        `off_policy_mask_threshold`, none by default, 0.5 as its own example.
    """

    normalization: Normalization | str = Normalization.TOKEN_MEAN
    constant_length: AtLeastOne | None = None
    top_entropy_frac: ShareAboveZero | None = None
    off_policy_threshold: Finite | None = None

    def __post_init__(self) -> None:
        GroupRelative.__post_init__(self)
        check_normalization(self.normalization, self.constant_length)

    # ---- what it needs ---------------------------------------------------------------------------

    @property
    def corrects_engine(self) -> bool:
        """Whether the loss itself weighs the gap between engine and trainer, so that
        `importance_correction` would count it twice.
        """
        return False

    @property
    def needs_marks(self) -> bool:
        return self.top_entropy_frac is not None

    def marks(self, tokens: UpdateTokens) -> Tensor:
        """1.0 on the tokens of the highest entropy."""
        assert self.top_entropy_frac is not None
        return is_top(tokens.entropy, self.top_entropy_frac).float()

    def token_weights(self, num_tokens: Sequence[int], groups: Sequence[str] = ()) -> list[float]:
        return token_weights(
            num_tokens,
            normalization=Normalization(self.normalization),
            constant_length=self.constant_length,
            groups=groups,
        )

    # ---- the loss --------------------------------------------------------------------------------

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        """The algorithm's own part.

        Args:
            change: [batch, tokens] log policy - log anchor in nats, held in +-20, with the gradient
                of the policy; 0 where the mask is 0.
            inputs: What it was made from.
        """
        raise NotImplementedError

    def anchor_logprobs(self, inputs: LossInputs) -> Tensor:
        """[batch, tokens] of whom the policy is compared with."""
        return inputs.old_logprobs

    def loss(self, inputs: LossInputs) -> LossOutput:
        from vigorl.models.losses import largest_ratio, log_ratio, policy_gradient_output

        mask, anchor = inputs.loss_mask.bool(), self.anchor_logprobs(inputs)
        change = log_ratio(inputs.policy_logprobs, anchor.detach(), mask)
        found = self.token_loss(change, inputs)
        kept = self.kept(inputs)
        ratio = change.detach().exp()
        moved = ratio - 1 - change.detach()  # k3 of KL(anchor || policy) on samples of the anchor
        metrics = {"kl/token": moved, **found.metrics}
        if anchor is inputs.old_logprobs:
            metrics["kl/old"] = moved
        if kept is not None:
            metrics["train/kept_frac"] = kept
        return policy_gradient_output(
            found.loss if kept is None else found.loss * kept,
            inputs,
            kl_coef=self.kl_coef,
            kl_estimator=KLEstimator(self.kl_estimator),
            beside=found.beside,
            metrics=metrics,
            maxima={"train/ratio_max": largest_ratio(ratio, mask)},
        )

    def kept(self, inputs: LossInputs) -> Tensor | None:
        """[batch, tokens] 0.0 on tokens whose policy loss is left out; None where none is."""
        kept = inputs.marks if self.top_entropy_frac is not None else None
        if self.off_policy_threshold is not None:
            near = is_near_engine(inputs, self.off_policy_threshold).to(inputs.advantages.dtype)
            kept = near if kept is None else kept * near
        return kept


class Anchor(StrEnum):
    """Whom the policy is compared with."""

    OLD = "old"  # the trainer's own weights at the phase's start
    ROLLOUT = "rollout"  # the engine that sampled: its gap to the trainer counts in the ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredLoss(PolicyLoss):
    """A loss whose ratio may be one to the engine.

    Attributes:
        anchor: See `Anchor`; "rollout" takes no pass for the logprobs of the phase's start, so from
            the second update on `kl/sampling_*` is the engine against the policy of now.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    """

    anchor: Anchor | str = Anchor.OLD

    @property
    def needs_old(self) -> bool:
        return self.anchor == Anchor.OLD

    @property
    def corrects_engine(self) -> bool:
        return self.anchor == Anchor.ROLLOUT

    def anchor_logprobs(self, inputs: LossInputs) -> Tensor:
        return inputs.old_logprobs if self.anchor == Anchor.OLD else engine_logprobs(inputs)


def sampled_logprobs(inputs: LossInputs) -> Tensor:
    """[batch, tokens] of the policy with gradient, in nats; 0 where the mask is 0."""
    return inputs.policy_logprobs.where(inputs.loss_mask.bool(), 0.0)


def either(condition: Tensor, yes: float, no: float, *, like: Tensor) -> Tensor:
    """One of two numbers for each token, in the precision of `like`."""
    return like.new_tensor(yes).where(condition, like.new_tensor(no))


def is_top(values: Tensor, frac: float) -> Tensor:
    """Whether each of [N] values is not below the quantile 1 - frac of all of them."""
    ordered = values.double()
    return ordered >= _quantile(ordered, 1 - frac)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Between the two nearest values, as `torch.quantile`, which takes 16 million at most."""
    place = share * (len(values) - 1)
    low = values.kthvalue(math.floor(place) + 1).values
    high = values.kthvalue(math.ceil(place) + 1).values
    return low.lerp(high, place - math.floor(place))


def is_near_engine(inputs: LossInputs, threshold: float) -> Tensor:
    """[batch, tokens] False where a negative advantage is of a rollout that the policy has left."""
    from vigorl.models.losses import sequence_mean

    mask, gap = inputs.loss_mask.bool(), engine_gap(inputs)
    return (inputs.advantages >= 0) | (sequence_mean(-gap, mask) <= threshold)


def engine_gap(inputs: LossInputs) -> Tensor:
    """[batch, tokens] log policy - log engine, detached; 0 where the mask is 0."""
    from vigorl.models.losses import log_ratio

    return log_ratio(inputs.policy_logprobs.detach(), engine_logprobs(inputs), inputs.loss_mask)


def engine_logprobs(inputs: LossInputs) -> Tensor:
    """Raises ConfigError where the engine has said none."""
    if inputs.sampling_logprobs is None:
        raise ConfigError(
            "the algorithm compares the policy with the engine that sampled, which must say how "
            "likely its tokens were: set algorithm.anchor=old, or another engine"
        )
    return inputs.sampling_logprobs
