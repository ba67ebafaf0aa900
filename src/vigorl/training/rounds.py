"""The rounds of generation in a phase, from its prompts to scored rollouts.

first      may have been made ahead, beside the phase before (`training.overlap`)
further    where a method of groups wants more than the first has brought
left       groups that are not whole when a round is over go on in the next phase's first one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import lightning as L

from vigorl.core.protocols import Progress
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.ranks import from_all_ranks
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import RolloutScorer, score_rollouts
from vigorl.rollout.left import LeftGroup
from vigorl.rollout.probes.probe import Probe, Taught
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.generation import Costs, OnProgress, RolloutGenerator
from vigorl.training.groups.collection import (
    PhaseGroups,
    all_groups,
    collect_groups,
    evenly_over_ranks,
)
from vigorl.training.groups.method import GroupMethod
from vigorl.training.overlap import Ahead, Round, staleness_sums
from vigorl.training.plan import PhasePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under which a phase's rounds are made.

    Attributes:
        trainer: Knows the ranks, and how long the run is.
        datamodule: Knows the prompts.
        plan: Of the phase.
        environment: Dialogs of its rollouts.
        reward: Scores them.
    """

    trainer: L.Trainer
    datamodule: GroundedTraceDataModule
    plan: PhasePlan
    environment: Environment
    reward: RolloutScorer


class Rounds:
    """Makes them, phase after phase.

    Args:
        generator: Knows the engine and the run's seed.
        probes: What is asked about the rollouts.
        groups: Which groups a phase generates and learns from; None: those of its prompts, all.
        num_guests: Places in a group that none of its rollouts takes.
        ahead: Holds the round that is made ahead; None: one phase after the other.
    """

    def __init__(
        self,
        generator: RolloutGenerator,
        *,
        probes: Sequence[Probe],
        groups: GroupMethod | None,
        num_guests: int,
        ahead: Ahead | None,
    ) -> None:
        self._generator, self._probes, self._groups = generator, tuple(probes), groups
        self._num_guests, self._ahead = num_guests, ahead
        self._left: Sequence[LeftGroup] = ()

    def generate(
        self, phase: int, under: Conditions, *, on_progress: OnProgress
    ) -> tuple[PhaseGroups, Sequence[Taught], Costs]:
        """This rank's scored rollouts, in as many rounds as the group method wants, of which the
        first may have been made ahead; answers to probes that are learned from; and what they took.

        Args:
            phase: From 0.
            under: Of the phase.
            on_progress: Told of every finished rollout of the rounds that are made now.
        """
        whole = first = None if self._ahead is None else self._ahead.take(phase)

        def ask(round: int, count: int | None) -> list[ScoredRollout]:
            nonlocal whole
            if round == 0 and first is not None:
                return first.scored
            found = self._round(phase, round, count, under)(on_progress)
            whole = found if whole is None else whole.joined(found)
            return found.scored

        trainer, plan = under.trainer, under.plan
        if self._groups is None:
            count = self._ahead and self._ahead.settings.num_prompts(plan, self._left)
            groups = all_groups(ask(0, count), num_ranks=trainer.world_size)
        else:
            groups = collect_groups(
                ask,
                self._groups,
                wanted=plan.prompts_per_phase,
                group_size=plan.group_size,
                rank=trainer.global_rank,
                num_ranks=trainer.world_size,
            )
        assert whole is not None
        self._left = whole.generated.left
        waited = {} if self._ahead is None else self._ahead.taken_costs()
        costs = whole.generated.costs | whole.asked | groups.sums | waited
        return groups, whole.generated.taught, costs

    def begin(self, phase: int, under: Conditions) -> None:
        """Begin what is learned from next, if anything is, with the weights that the engine has."""
        assert self._ahead is not None
        trainer, plan = under.trainer, under.plan
        is_last = 0 < trainer.max_steps <= trainer.global_step + plan.updates_per_phase
        if is_last or phase == trainer.max_epochs:
            return
        count = self._ahead.settings.num_prompts(plan, self._left)
        if self._groups is not None:
            wanted = self._groups.num_prompts([], wanted=plan.prompts_per_phase, round=0)
            count = evenly_over_ranks(wanted, trainer.world_size)
        self._ahead.start(phase, self._round(phase, 0, count, under))

    def ages(self, rollouts: Sequence[Rollout], under: Conditions) -> Costs:
        """How old a phase's rollouts are, and how many groups it has left."""
        assert self._ahead is not None
        sums = staleness_sums(rollouts, now=under.trainer.global_step)
        if self._ahead.settings.spare_groups:
            sums["groups/left"] = (len(self._left) * under.trainer.world_size, 1)
        return sums

    def _round(
        self, phase: int, round: int, count: int | None, under: Conditions
    ) -> Callable[[OnProgress], Round]:
        """What generates, probes and scores this rank's share of a round, for whichever thread;
        its prompts are chosen now.

        Args:
            phase: From 0.
            round: Of the phase, from 0.
            count: Prompts over all ranks; None: as planned.
            under: Of the phase.
        """
        trainer, plan = under.trainer, under.plan
        rank, num_ranks = trainer.global_rank, trainer.world_size
        prompts = under.datamodule.prompts_of_phase(
            phase,
            seed=self._generator.seed,
            count=count,
            round=round,
            in_the_making=self._tasks_left(),
        )
        tasks = prompts.tasks[: len(prompts.tasks) // num_ranks * num_ranks]
        per_prompt = plan.group_size - self._num_guests
        if self._groups is not None:
            per_prompt = self._groups.rollouts_per_prompt(plan.group_size)
        ends = None
        if self._ahead is not None and round == 0:
            ends = self._ahead.settings.ends(plan, self._left, num_ranks=num_ranks)
        progress = Progress(phase, max(trainer.max_epochs or 1, 1))

        def make(on_progress: OnProgress) -> Round:
            generated = self._generator.generate(
                under.environment,
                tasks,
                name=f"train/{phase}" + (f"/refill-{round}" if round else ""),
                group_size=per_prompt,
                rank=rank,
                num_ranks=num_ranks,
                on_progress=on_progress,
                probes=[probe for probe in self._probes if probe.schedule.is_due(phase)],
                ends=ends,
            )
            scored = score_rollouts(generated.rollouts, under.reward, progress=progress)
            return Round(scored, generated, dict(prompts.metrics))

        return make

    def _tasks_left(self) -> set[str]:
        """Of all ranks; they call it together where groups can be left."""
        if self._ahead is None or not self._ahead.settings.spare_groups:
            return set()
        own = [group.members[0].rollout.task.id for group in self._left]
        return set(chain.from_iterable(from_all_ranks(own)))
