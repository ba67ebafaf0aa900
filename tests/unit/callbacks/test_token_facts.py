from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests import builders
from vigorl.callbacks.token_facts import facts_of_groups
from vigorl.core.rollout import TrainingSample


def test_credit_is_that_of_sampled_tokens_and_nothing_of_a_rollout_that_is_not_learned_from():
    """Turns of 2 and 1 sampled tokens between a prompt of 3 and an observation of 3."""
    turns = builders.zoom_turn(num_tokens=2), builders.answer_turn(num_tokens=1)
    learned = builders.rollout(*turns, group="g", index=0)
    other = builders.rollout(builders.answer_turn(), group="g", index=1)
    advantages = (0.0, 0.0, 0.0, 0.5, 0.6, 0.0, 0.0, 0.0, 0.7)
    sample = TrainingSample(
        learned.token_ids, learned.loss_mask, (), advantages=advantages, group="g"
    )
    trainer = cast(Any, SimpleNamespace(lightning_module=None, datamodule=None, world_size=1))
    group = [builders.scored(learned), builders.scored(other)]
    facts = facts_of_groups([group], [sample], num=1, trainer=trainer)
    assert facts["g", 0].advantages == (0.5, 0.6, 0.7)
    assert facts["g", 1].advantages == ()
    assert facts["g", 0].trainer_logprobs == ()  # no module that learns from rollouts
