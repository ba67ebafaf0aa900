"""What GRPO and its kin share: credit from rewards by an estimator, by default a rollout's reward
against those of its group; which rollouts count; what of a reward counts; and the price of a KL to
the reference.

    rewards -> what counts of them (shaped parts, the price of KL) -> Estimator -> Credit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import Any

from vigorl.core.advantages import Credit
from vigorl.core.errors import ConfigError
from vigorl.core.kl import KLEstimator
from vigorl.core.ranges import NotNegative, check_ranges
from vigorl.core.rollout import ScoredRollout, StopReason
from vigorl.training.algorithms.adaptive_kl import AdaptiveKL
from vigorl.training.algorithms.prompt_factor import PromptFactor
from vigorl.training.estimators.estimator import Estimate, Estimator, Rated
from vigorl.training.estimators.group_mean import GroupMean
from vigorl.training.readings import Reads, TokenReadings


class Masking(StrEnum):
    """What becomes of rollouts of a kind."""

    NONE = "none"  # they are learned from like any other
    GRADIENT = "gradient"  # nothing is learned from them, but the others are compared with them
    STATISTICS = "statistics"  # they are out of their group's mean and spread too


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRelative:
    """The settings and answers of an `Algorithm` that weighs and sums tokens in its own way.

    Attributes:
        kl_coef: What a nat of KL to the reference costs in the loss, at least 0.
        kl_estimator: Whose gradient that KL has; see `core.kl.KLEstimator`.
        reward_kl_coef: What a nat costs in the reward instead, at least 0: each sampled token's
            log old - log reference is taken from it before any baseline (k1, whose gradient is that
            of the KL itself).
        kl_control: Moves `reward_kl_coef` from phase to phase; None keeps it.
        estimator: From rewards to advantages; None is `estimators.group_mean` with the two settings
            that follow.
        scale_by_std: Advantages are divided by the group's spread.
        min_std: The least spread that they are divided by, in reward units; 0 is the released code.
            A spread of the size of a bonus alone, where all of a group are right, then stays small.
        centre_shaping: Of the parts of a reward all but "accuracy" are centred among the answers of
            the group that are equally right, and count nothing where all are: then they rank equals
            and never move right against wrong, and a group without a contrast teaches nothing.
        prompt_factor: Multiplies a group's advantages, after every normalisation, which would
            cancel it before.
        mask_truncated: Nothing is learned from rollouts that a limit ended (DAPO's overlong
            filtering); they count in their group's mean and spread like any other, as in the
            released code.
        over_turn: What becomes of rollouts that the limit of turns ended; None: what
            `mask_truncated` says of all limits. Mini-o3 (arXiv:2509.07969): "statistics" by its
            paper, "gradient" by its code at 8654dbf.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    """

    kl_coef: NotNegative = 0.0
    kl_estimator: KLEstimator | str = KLEstimator.K3
    reward_kl_coef: NotNegative = 0.0
    kl_control: AdaptiveKL | None = None
    estimator: Estimator | None = None
    scale_by_std: bool = True
    min_std: NotNegative = 0.0
    centre_shaping: bool = False
    prompt_factor: PromptFactor | None = None
    mask_truncated: bool = False
    over_turn: Masking | str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "algorithm")
        self._check_kl()
        own = GroupMean(scale_by_std=self.scale_by_std, min_std=self.min_std)
        if self.estimator is None:
            return
        if own != GroupMean():
            raise ConfigError(
                "algorithm.scale_by_std and algorithm.min_std have no effect with "
                "algorithm.estimator, which compares rewards in its own way"
            )
        for name in sorted(self.estimator.refuses):
            if getattr(self, name):
                raise ConfigError(
                    f"algorithm.{name} cannot be used with algorithm.estimator="
                    f"{type(self.estimator).__name__}, which does not compare totals"
                )

    def _check_kl(self) -> None:
        if self.kl_coef and self.reward_kl_coef:
            raise ConfigError(
                f"algorithm.kl_coef={self.kl_coef:g} and "
                f"algorithm.reward_kl_coef={self.reward_kl_coef:g} would pay the KL twice: set one"
            )
        if self.kl_estimator == KLEstimator.K1:
            raise ConfigError(
                "algorithm.kl_estimator=k1 holds nothing: as a loss its gradient has a mean of 0 "
                "over the policy's samples; set k2 or k3_corrected"
            )
        if self.kl_estimator != KLEstimator.K3 and not self.kl_coef:
            raise ConfigError("algorithm.kl_estimator has no effect with algorithm.kl_coef=0")
        if self.kl_control is not None and not self.reward_kl_coef:
            raise ConfigError("algorithm.kl_control needs algorithm.reward_kl_coef above 0")

    # ---- what it needs ---------------------------------------------------------------------------

    @property
    def needs_reference(self) -> bool:
        return self.kl_coef > 0 or self.reward_kl_coef > 0

    @property
    def needs_old(self) -> bool:
        return True

    @property
    def needs_zero_advantages(self) -> bool:
        return self.kl_coef > 0

    @property
    def reads(self) -> Reads:
        of_estimator = self.estimator.reads if self.estimator else Reads.NOTHING
        return max(of_estimator, Reads.LOGPROBS if self.reward_kl_coef else Reads.NOTHING)

    @property
    def needs_critic(self) -> bool:
        return self.estimator is not None and self.estimator.needs_critic

    # ---- credit ----------------------------------------------------------------------------------

    def credit(
        self,
        groups: Sequence[Sequence[ScoredRollout]],
        *,
        readings: Sequence[Sequence[TokenReadings]] | None = None,
    ) -> list[list[Credit]]:
        known: Sequence[Sequence[TokenReadings | None]]
        known = readings or [[None] * len(group) for group in groups]
        counted = [self._counted(group) for group in groups]
        rated = [
            [_rated(group[i], reward, prices[i], read[i]) for i, reward in own.items()]
            for group, own, prices, read in zip(
                groups, counted, self._prices(known), known, strict=True
            )
        ]
        estimates = iter(self._estimator().advantages([group for group in rated if group]))
        return [
            self._credits(group, dict(zip(own, next(estimates) if own else (), strict=True)))
            for group, own in zip(groups, counted, strict=True)
        ]

    def _estimator(self) -> Estimator:
        if self.estimator is not None:
            return self.estimator
        return GroupMean(scale_by_std=self.scale_by_std, min_std=self.min_std)

    def _counted(self, group: Sequence[ScoredRollout]) -> dict[int, float]:
        """What those rollouts that are compared are compared by, without KL, by place; none where
        the others leave fewer than two.
        """
        places = [i for i, one in enumerate(group) if self._is_compared(one)]
        if len(places) < min(len(group), 1 if self.needs_critic else 2):
            return {}
        if not self.centre_shaping:
            return {i: group[i].reward.total for i in places}
        centred = centred_by_accuracy([group[i] for i in places])
        return dict(zip(places, centred, strict=True))

    def _is_compared(self, one: ScoredRollout) -> bool:
        return not one.reward.missing and self._masking(one) is not Masking.STATISTICS

    def _masking(self, one: ScoredRollout) -> Masking:
        reason = one.rollout.stop_reason
        if reason is StopReason.TURN_LIMIT and self.over_turn is not None:
            return Masking(self.over_turn)
        is_masked = self.mask_truncated and reason.is_truncated
        return Masking.GRADIENT if is_masked else Masking.NONE

    def _credits(
        self, group: Sequence[ScoredRollout], estimates: Mapping[int, Estimate]
    ) -> list[Credit]:
        factor = 1.0
        if self.prompt_factor is not None:
            factor = self.prompt_factor([one.rollout for one in group])
        return [self._credit(one, estimates.get(i), factor=factor) for i, one in enumerate(group)]

    def _credit(self, one: ScoredRollout, estimate: Estimate | None, *, factor: float) -> Credit:
        rollout, mask = one.rollout, one.rollout.loss_mask
        if one.reward.missing or self._masking(one) is not Masking.NONE:
            mask = (0,) * len(mask)
        if estimate is None:
            nothing = (0.0,) * len(mask)
            return Credit(nothing, mask, returns=nothing if self.needs_critic else ())
        values = estimate.values
        if factor != 1.0:
            values = [[factor * value for value in turn] for turn in values]
        returns = rollout.spread(estimate.returns, fill=0.0) if estimate.returns else ()
        return Credit(rollout.spread(values, fill=0.0), mask, estimate.metrics, returns)

    # ---- KL in the reward ------------------------------------------------------------------------

    def _prices(
        self, readings: Sequence[Sequence[TokenReadings | None]]
    ) -> list[list[Sequence[float]]]:
        """[N] what the KL of each sampled token costs, of each rollout; empty without."""
        if not self.reward_kl_coef:
            return [[()] * len(group) for group in readings]
        nats = [[_kl(one) for one in group] for group in readings]
        coef = self.reward_kl_coef
        if self.kl_control is not None:
            coef = self.kl_control.coef(self.reward_kl_coef)
            self.kl_control.update(nats, initial=self.reward_kl_coef)
        return [[[coef * nat for nat in one] for one in group] for group in nats]

    # ---- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the settings; empty where nothing moves."""
        return {} if self.kl_control is None else {"kl_control": self.kl_control.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.kl_control is not None and "kl_control" in state:  # a run may go on without
            self.kl_control.load_state_dict(state["kl_control"])


def centred_by_accuracy(group: Sequence[ScoredRollout], *, part: str = "accuracy") -> list[float]:
    """Rewards whose shaped parts are centred among answers that are equally right.

    r_i = w a_i + s_i - mean of s over the answers as right as i; without s where all are equally
    right. a is the accuracy part, w its weight, s the rest of the total.

    Raises:
        ValueError: The reward has no such part, or does not state its weight; names the group.
    """
    reward = group[0].reward
    if part not in reward.weights or part not in reward.parts:
        raise ValueError(
            f"group {group[0].rollout.group!r}: algorithm.centre_shaping needs a reward with a "
            f"weighted part {part!r}, got {', '.join(reward.weights) or 'none with a weight'}"
        )
    right = [one.reward.weights[part] * one.reward.parts[part] for one in group]
    if max(right) == min(right):
        return right
    shaped = [one.reward.total - own for one, own in zip(group, right, strict=True)]
    means = {
        level: fmean(s for s, own in zip(shaped, right, strict=True) if own == level)
        for level in set(right)
    }
    return [own + s - means[own] for own, s in zip(right, shaped, strict=True)]


def _rated(
    scored: ScoredRollout, reward: float, prices: Sequence[float], read: TokenReadings | None
) -> Rated:
    one = Rated(scored, reward, readings=read)
    return replace(one, reward=reward - sum(prices), costs=one.by_turn(prices)) if prices else one


def _kl(one: TokenReadings | None) -> list[float]:
    """[N] k1 of each sampled token, in nats."""
    assert one is not None
    read = zip(one.old_logprobs, one.ref_logprobs, strict=True)
    return [old - ref for old, ref in read]
