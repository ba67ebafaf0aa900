"""What a sampler of prompts promises, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.training.samplers.rates import SolveRates


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """What a phase takes.

    Attributes:
        indices: Into the training tasks, in the order of the phase, none twice.
        difficulties: [len(indices)] 1 - solve rate; 1/2 where there is none.
        num_skipped: Tasks of the whole set that the sampler avoids.
        num_filled: Places of the phase that went to avoided tasks for want of others.
    """

    indices: tuple[int, ...]
    difficulties: tuple[float, ...]
    num_skipped: int = 0
    num_filled: int = 0


@runtime_checkable
class Sampler(Protocol):
    """Chooses the prompts of a phase: a pure function of (seed, phase, rates so far), the same on
    every rank, so that a resumed run asks what the uninterrupted one would have.
    """

    def rates_before(self, tasks: Sequence[TaskRecord]) -> SolveRates:
        """What is known of the tasks before the run; the run's own groups are added to it.

        Raises:
            ConfigError: A setting has no effect on these tasks.
        """
        ...

    def choose(
        self,
        rates: Sequence[float | None],
        *,
        tasks: Sequence[TaskRecord],
        phase: int,
        count: int,
        seed: int,
    ) -> PromptChoice:
        """The tasks of a phase.

        Args:
            rates: [num_tasks] solve rate of each task in [0, 1]; None where nobody measured.
            tasks: The training tasks.
            phase: From 0.
            count: Prompts of a phase, over all ranks.
            seed: Seed of the run.
        """
        ...


def check_choice(num_tasks: int, count: int) -> None:
    """Refuse a sampler that could choose nothing.

    Raises:
        ConfigError: Names the keys.
    """
    if num_tasks <= count:
        raise ConfigError(
            f"sampler has no effect: plan.prompts_per_phase={count} asks all {num_tasks} "
            "training tasks in every phase"
        )
