"""What a phase is given before its rollouts, and what is learned from those under noise."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.builders import rollout, view
from vigorl.callbacks.exploration import Exploration
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.errors import ConfigError
from vigorl.core.media import Edited, Fill, GaussianNoise
from vigorl.core.rollout import TrainingSample
from vigorl.rollout.environment import Environment
from vigorl.rollout.exploration import NoisyRollout, TemperatureSchedule, VisualBranch
from vigorl.training.policy_gradient_module import PolicyGradientModule

NOISE = GaussianNoise(0.5, 0.5, 3)


def begun(explore: Exploration, *, phase: int) -> tuple[RolloutCallback, PolicyGradientModule]:
    """The rollout callback and the module as a phase of ten finds them."""
    rollouts = RolloutCallback.__new__(RolloutCallback)
    environment = Environment.__new__(Environment)
    environment.temperature, environment.noise = 1.0, None
    rollouts.environment = environment
    module = PolicyGradientModule.__new__(PolicyGradientModule)
    trainer = cast(
        Any,
        SimpleNamespace(
            callbacks=[explore, rollouts], current_epoch=phase, max_epochs=10, loggers=[]
        ),
    )
    object.__setattr__(module, "temperature", None)
    explore.setup(trainer, module, "fit")
    explore.on_train_epoch_start(trainer, module)
    assert environment.temperature == 1.0  # others read that one
    return rollouts, module


def test_rollouts_and_logprobs_have_the_temperature_of_the_phase() -> None:
    explore = Exploration(temperature=TemperatureSchedule(start=1.5, end=1.0))
    rollouts, module = begun(explore, phase=4)
    assert rollouts.environment.temperature == module.temperature == pytest.approx(1.3)
    assert rollouts.environment.noise is None


@pytest.mark.parametrize("noise", [NoisyRollout(), VisualBranch()])
def test_noise_is_learned_from_or_not(noise: Any) -> None:
    rollouts, module = begun(Exploration(noise=noise), phase=0)
    assert rollouts.learns_noise == isinstance(noise, VisualBranch)
    assert rollouts.environment.noise == noise.at(SimpleNamespace(fraction=0.0))
    assert module.temperature == 1.0


def test_without_effect_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="no effect without temperature and noise"):
        Exploration()


def test_a_clean_sample_keeps_marks_that_are_no_noise() -> None:
    clean = view()
    filled = clean.edited(Fill())
    noisy = (clean.edited(NOISE), filled.edited(NOISE))
    one = rollout()
    sample = TrainingSample(one.token_ids, one.loss_mask, views=noisy)
    assert sample.without_noise == replace(sample, views=(clean, filled))
    kept = replace(sample, views=(clean, filled))
    assert kept.without_noise is kept
    assert isinstance(noisy[1].source, Edited)
    assert len(noisy[1].source.marks) == 2
