"""What is known of the tokens of a few groups: what each was credited, and what the trainer thinks
of it under the weights of the phase's start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L

from vigorl.core.rollout import Rollout, ScoredRollout, TrainingSample
from vigorl.pages.group_view import TokenFacts
from vigorl.pages.run_pages import Key, key_of
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.readings import Reads, read_rollouts


def facts_of_groups(
    groups: Sequence[Sequence[ScoredRollout]],
    samples: Sequence[TrainingSample],
    *,
    num: int,
    trainer: L.Trainer,
) -> Mapping[Key, TokenFacts]:
    """By rollout; all ranks call it together, before the phase's first update.

    Args:
        groups: Of this rank.
        samples: What this rank learns from; rollouts without one have no credit.
        num: Most groups, the same on every rank, which all run as many passes.
        trainer: Its module reads; one that learns from no rollouts reads nothing.
    """
    credited = {(one.group, one.token_ids): one for one in samples}
    shown = [one for group in groups for one in group]
    read = _trainer_logprobs([one.rollout for one in shown], num=num, trainer=trainer)
    return {
        key_of(one): TokenFacts(_advantages(one.rollout, credited), read.get(key_of(one), ()))
        for one in shown
    }


def _advantages(
    rollout: Rollout, credited: Mapping[tuple[str, tuple[int, ...]], TrainingSample]
) -> tuple[float, ...]:
    sample = credited.get((rollout.group, rollout.token_ids))
    if sample is None or not sample.advantages:
        return ()
    pairs = zip(sample.advantages, rollout.loss_mask, strict=True)
    return tuple(advantage for advantage, is_sampled in pairs if is_sampled)


def _trainer_logprobs(
    rollouts: Sequence[Rollout], *, num: int, trainer: L.Trainer
) -> dict[Key, tuple[float, ...]]:
    """Of those with sampling logprobs to compare with; reads the policy and leaves it as it was."""
    module: Any = trainer.lightning_module
    datamodule: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(module, PolicyGradientModule) or not rollouts:
        return {}
    assert isinstance(datamodule, GroundedTraceDataModule)
    assert datamodule.plan is not None
    places = num * datamodule.plan.group_size
    padded = [*rollouts, *[rollouts[0]] * (places - len(rollouts))][:places]
    if trainer.world_size == 1:
        padded = list(rollouts)
    with module.features_aside():
        readings = read_rollouts(
            padded,
            reads=Reads.LOGPROBS,
            has_reference=False,
            module=module,
            collate=datamodule.collate,
            num_tokens=datamodule.num_tokens,
            batch_size=datamodule.plan.micro_batch_size,
            most_tokens=datamodule.plan.micro_batch_tokens,
        )
    return {
        (rollout.group, rollout.index): one.old_logprobs
        for rollout, one in zip(rollouts, readings, strict=False)
    }
