"""A teacher's word on each token, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests import builders
from tests.unit.models.small import make_policy
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import LossInputs
from vigorl.training.algorithms.distillation import OnPolicyDistillation, check_teacher
from vigorl.training.phase import credit_rollouts
from vigorl.training.signals.region_to_whole import RegionToWhole

POLICY = [-1.0, -2.0, -3.0]
TEACHER = torch.tensor([[-0.5, -4.0, -math.inf]])


def given(**fields: Any) -> LossInputs:
    old = torch.tensor([POLICY])
    return LossInputs(
        policy_logprobs=old.clone().requires_grad_(),
        old_logprobs=old,
        advantages=torch.zeros(1, 3),
        loss_mask=torch.tensor([[1, 1, 0]]),
        token_weight=torch.tensor([0.5]),
        **fields,
    )


@pytest.mark.parametrize("teacher", ["checkpoint", "region"])
def test_a_tokens_advantage_is_the_log_ratio_of_teacher_and_student(teacher: str) -> None:
    if teacher == "checkpoint":
        inputs = given(ref_logprobs=TEACHER)
    else:
        inputs = given()
        found = RegionToWhole().values(TEACHER, inputs.old_logprobs, inputs.loss_mask.bool())
        inputs = replace(inputs, signals={"region_to_whole": found})
    out = OnPolicyDistillation(teacher=teacher).loss(inputs)
    out.loss.backward()
    assert inputs.policy_logprobs.grad is not None
    # -A w with A = -0.5 - -1.0 and -4.0 - -2.0
    assert inputs.policy_logprobs.grad.tolist() == [[-0.25, 1.0, 0.0]]
    gap = out.metrics["train/teacher_gap"]
    assert (gap.total / gap.num).item() == pytest.approx((-0.5 + 2.0) / 2)


def test_rewards_do_not_count_and_every_token_is_learned_from() -> None:
    algorithm = OnPolicyDistillation()
    pair = [builders.scored(total=total) for total in (0.0, 1.0)]
    _, samples, _ = credit_rollouts(pair, algorithm)
    assert [set(one.advantages) for one in samples] == [{0.0}] * 2
    assert samples[0].loss_mask == pair[0].rollout.loss_mask
    assert samples[0].targets == (builders.DISC,)
    assert (algorithm.needs_reference, algorithm.needs_zero_advantages) == (True, True)
    region = OnPolicyDistillation(teacher="region")
    assert (region.needs_reference, region.needs_signals) == (False, ("region_to_whole",))


def test_the_region_takes_the_place_of_the_whole_picture_at_its_size() -> None:
    crop = builders.view(box=Box(0, 0, 112, 112))
    sample = TrainingSample((), (), (builders.view(), crop), targets=(builders.DISC,))
    whole, same = RegionToWhole(margin=2.0).views(sample)
    assert whole.box == Box(180, 60, 220, 100)  # 2 x 20 px around (200, 80)
    assert (whole.size, same) == (builders.RESIZED, crop)
    assert RegionToWhole().views(replace(sample, targets=())) == sample.views


def test_what_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.teacher must be one of checkpoint, region"):
        OnPolicyDistillation(teacher="parent")
    with pytest.raises(ConfigError, match=r"algorithm\.kl_coef must be 0 with distillation"):
        OnPolicyDistillation(kl_coef=0.1)
    with pytest.raises(ConfigError, match=r"region_to_whole\.margin must be at least 1, got 0\.5"):
        RegionToWhole(margin=0.5)
    check_teacher(make_policy(), make_policy())
    with pytest.raises(ConfigError, match=r"model\.teacher has another vision tower"):
        check_teacher(make_policy(), make_policy(seed=1))
    check_teacher(make_policy(freeze_vision_tower=False), make_policy(seed=1))
