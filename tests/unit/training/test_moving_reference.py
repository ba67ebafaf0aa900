from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from tests.unit.models.small import make_policy
from vigorl.core.errors import ConfigError
from vigorl.training.algorithms.adaptive_kl import AdaptiveKL
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.moving_reference import MovingReference
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.policy_module import OptimizerSettings


def make_module(**settings: Any) -> PolicyGradientModule:
    settings.setdefault("algorithm", GRPO(kl_coef=0.1))
    settings.setdefault("reference", make_policy())
    return PolicyGradientModule(
        make_policy(), images=cast(Any, None), optimizer=OptimizerSettings(lr=1.0), **settings
    )


def weight_of(policy: torch.nn.Module) -> torch.Tensor:
    return policy.get_parameter("model.model.language_model.norm.weight")


def test_it_moves_by_its_share_when_it_is_due_and_stands_in_the_checkpoint() -> None:
    module = make_module(moving_reference=MovingReference(alpha=0.25, every=2))
    module.trainer = cast(Any, None)
    epochs = iter((0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            PolicyGradientModule, "trainer",
            property(lambda self: type("T", (), {"current_epoch": next(epochs)})()),
        )  # fmt: skip
        start = weight_of(module.policy).detach().clone()
        weight_of(module.policy).data += 4.0
        module.on_train_epoch_end()
        assert torch.equal(weight_of(module._reference[0]), start)
        module.on_train_epoch_end()
    torch.testing.assert_close(weight_of(module._reference[0]), start + 1.0)
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    resumed = make_module(moving_reference=MovingReference(alpha=0.25, every=2))
    resumed.on_load_checkpoint(checkpoint)
    assert torch.equal(weight_of(resumed._reference[0]), weight_of(module._reference[0]))


def test_the_algorithms_state_stands_in_the_checkpoint_where_it_has_one() -> None:
    checkpoint: dict[str, Any] = {}
    make_module().on_save_checkpoint(checkpoint)
    assert checkpoint == {}
    control = AdaptiveKL()
    control.load_state_dict({"coef": 0.375})
    of_reward = GRPO(reward_kl_coef=0.5, kl_control=control)
    make_module(algorithm=of_reward).on_save_checkpoint(checkpoint)
    resumed = AdaptiveKL()
    again = make_module(algorithm=GRPO(reward_kl_coef=0.5, kl_control=resumed))
    again.on_load_checkpoint(checkpoint)
    assert resumed.coef(0.5) == 0.375


def test_what_cannot_move_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to move: set algorithm"):
        make_module(algorithm=GRPO(), reference=None, moving_reference=MovingReference())
    for bad in ({"alpha": 0.0}, {"alpha": 1.5}, {"every": 0}):
        with pytest.raises(ConfigError, match="0 < alpha <= 1 and every >= 1"):
            MovingReference(**bad)
