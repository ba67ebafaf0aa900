"""On-policy distillation: the student samples, and a teacher says of each of its tokens how much
likelier it would have made it.

    A_t = log pi_teacher(t) - log pi_start(t), detached      in +-20 nats, no group, no reward

A mean of -A over the student's samples is KL(student || teacher), so its gradient pulls the student
to the teacher where the student goes. The teacher is another checkpoint (`model.teacher`), or the
student itself, as it was at the phase's start, that sees more: the region of the target in place of
the whole picture (signals=[region_to_whole]).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vigorl.core.advantages import Credit
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.policy_loss import TokenLoss
from vigorl.training.readings import TokenReadings

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.models.losses import LossInputs
    from vigorl.models.policy import Policy

REGION = "region_to_whole"


class Teacher(StrEnum):
    """Who says how likely a token should be."""

    CHECKPOINT = "checkpoint"  # model.teacher, in place of the reference of a KL
    REGION = "region"  # the policy of the phase's start that sees the target's region


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicyDistillation(GRPO):
    """An `Algorithm` with the clip and the averages of GRPO, and no reward in it.

    Attributes:
        teacher: See `Teacher`.
    Raises:
        ConfigError: A setting out of its range, or without effect.
    Source: the per-token reverse KL as an advantage: prime-rl's `opd`, ms-swift's GKD and NeMo-RL's
        MOPD, by their descriptions; a teacher that sees the region: as OPSD's and SDFT's teachers
        see the answer. The clip is ours; at one update per phase it never acts.
    """

    teacher: Teacher | str = Teacher.CHECKPOINT

    def __post_init__(self) -> None:
        GRPO.__post_init__(self)
        for key in ("kl_coef", "reward_kl_coef"):
            if getattr(self, key):
                raise ConfigError(
                    f"algorithm.{key} must be 0 with distillation: the loss is a KL already"
                )

    @property
    def needs_reference(self) -> bool:
        return self.teacher == Teacher.CHECKPOINT

    @property
    def needs_zero_advantages(self) -> bool:
        return True

    @property
    def needs_signals(self) -> tuple[str, ...]:
        return (REGION,) if self.teacher == Teacher.REGION else ()

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        return ()

    def credit(
        self,
        groups: Sequence[Sequence[ScoredRollout]],
        *,
        readings: Sequence[Sequence[TokenReadings]] | None = None,
    ) -> list[list[Credit]]:
        """No reward counts; what the teacher says is known in the loss."""
        return [
            [Credit((0.0,) * len(mask), mask) for mask in (one.rollout.loss_mask for one in group)]
            for group in groups
        ]

    def token_loss(self, change: Tensor, inputs: LossInputs) -> TokenLoss:
        ratio, clip, advantages = change.exp(), self.clip(), self._advantages(inputs)
        metrics = {"train/teacher_gap": -advantages, **clip.metrics(ratio, advantages)}
        return TokenLoss(clip.loss(ratio, advantages), metrics)

    def _advantages(self, inputs: LossInputs) -> Tensor:
        from vigorl.models.losses import log_ratio

        if self.teacher == Teacher.REGION:
            return inputs.signals[REGION].detach().where(inputs.loss_mask.bool(), 0.0)
        assert inputs.ref_logprobs is not None
        return log_ratio(inputs.ref_logprobs, inputs.old_logprobs, inputs.loss_mask).detach()


def check_teacher(policy: Policy, teacher: Policy) -> None:
    """Refuse a teacher that speaks of other tokens, or that a frozen tower's features do not fit.

    Raises:
        ConfigError: Says which.
    """
    sizes = [one.model.config.get_text_config().vocab_size for one in (policy, teacher)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"model.teacher has {sizes[1]} tokens and model.path {sizes[0]}: distillation compares "
            "the same tokens"
        )
    if not policy.is_vision_frozen:
        return  # each runs its own tower
    own, other = (one.family.tower(one.model).state_dict() for one in (policy, teacher))
    if own.keys() != other.keys() or not all(
        own[name].shape == other[name].shape
        and own[name].float().allclose(other[name].float(), rtol=1e-2, atol=1e-3)
        for name in own
    ):
        raise ConfigError(
            "model.teacher has another vision tower than model.path, whose features are kept and "
            "shared: set model.freeze_vision_tower=false, or a teacher trained from the same start"
        )
