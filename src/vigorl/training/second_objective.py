"""Answers to probes as a second objective beside a phase's own:

    loss = policy gradient of the rollouts + coef x policy gradient of the answers

Answers of one group are compared with each other alone. They stand as further rows in the phase's
micro-batches, whose number stays as planned, and count nothing in an entropy bonus. What the step
measures (`train/*`, `clip/*`, `kl/*`) is over them too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from vigorl.core.errors import ConfigError
from vigorl.core.rollout import TrainingSample
from vigorl.ranks import from_all_ranks
from vigorl.rollout.probes.probe import Probe, Taught, TeachingProbe
from vigorl.training.algorithms.group_relative import GroupRelative
from vigorl.training.algorithms.protocol import Algorithm, needs_critic
from vigorl.training.alignment import check_masks
from vigorl.training.marks import marker_of
from vigorl.training.phase import (
    Cutting,
    PhaseCut,
    credit_rollouts,
    cut_evenly,
    loss_tokens,
    weigh_update,
)
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.readings import reads_of


def teaches(probes: Sequence[Probe]) -> bool:
    """Whether answers to any of the probes are learned from."""
    return any(isinstance(probe, TeachingProbe) and probe.coef > 0 for probe in probes)


def check_teaching(probes: Sequence[Probe], module: PolicyGradientModule) -> None:
    """Refuse probes whose answers the run's algorithm cannot learn from beside its rollouts.

    Raises:
        ConfigError: Says which setting.
    """
    if not teaches(probes):
        return
    algorithm = module.algorithm
    name, what = type(algorithm).__name__, "probes.checklist.coef above 0"
    if not isinstance(algorithm, GroupRelative):
        raise ConfigError(f"{what} needs an algorithm that compares a group, not {name}")
    has_more = module.signals or needs_critic(algorithm)
    if reads_of(algorithm) or marker_of(algorithm) or has_more:
        raise ConfigError(
            f"{what} cannot be used with algorithm={name} as it is set: its credit, its marks, its "
            "signals or its critic are those of rollouts; set probes.checklist.coef=0"
        )


def samples_of(
    taught: Sequence[Taught], algorithm: Algorithm
) -> tuple[list[TrainingSample], list[float]]:
    """What is learned from each answer, and its coefficient; all ranks call it together.

    Args:
        taught: Of this rank; whole groups.
        algorithm: Credits them; a factor of a prompt is that of its rollouts, not of these.
    """
    assert isinstance(algorithm, GroupRelative)
    own = replace(algorithm, prompt_factor=None)
    credited = credit_rollouts([one.scored for one in taught], own)
    check_masks([one.scored.rollout for one in taught], credited.samples)
    return credited.samples, [one.coef for one in taught]


def beside(cut: PhaseCut, taught: Sequence[Taught], by: Cutting, *, keeps_noise: bool) -> PhaseCut:
    """The phase's micro-batches with these answers as further rows; all ranks call it together.

    Args:
        cut: Of this rank.
        taught: See `samples_of`.
        by: As of the cut; each pass learns from all answers once.
        keeps_noise: Answers that saw noise are learned from under it.
    """
    plan, algorithm = by.plan, by.algorithm
    samples, coefs = samples_of(taught, algorithm)
    if not keeps_noise:
        samples = [sample.without_noise for sample in samples]
    both = list(zip(samples, coefs, strict=True))
    per_pass, num_parts = plan.updates_per_phase // plan.passes, plan.accumulate(by.num_ranks)
    rows: list[list[TrainingSample]] = []
    for number in range(plan.passes):
        random.Random(f"{by.order}/beside/{number}").shuffle(both)
        for part in cut_evenly(both, per_pass):
            own = [sample for sample, _ in part]
            of_ranks = from_all_ranks(loss_tokens(own))
            weighed = weigh_update(own, algorithm.token_weights, of_ranks=of_ranks, rank=by.rank)
            update = [
                replace(sample, token_weight=sample.token_weight * coef, token_share=0.0)
                for sample, (_, coef) in zip(weighed, part, strict=True)
                if any(sample.advantages) or algorithm.needs_zero_advantages
            ]
            rows += cut_evenly(sorted(update, key=by.num_tokens), num_parts)
    joined = [[*one, *more] for one, more in zip(cut.micro_batches, rows, strict=True)]
    return replace(cut, micro_batches=joined)
