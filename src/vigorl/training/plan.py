"""How a phase is cut into optimizer batches, micro-batches and ranks. Plain arithmetic, checked
before anything is loaded.

    128 rollouts per phase = 16 prompts x 8
    2 updates of 64 sequences, each 4 micro-batches of 8 on each of 2 ranks

With `micro_batch_tokens` an update has as many micro-batches as its tokens need, and the plan a
place for each of its sequences; what no micro-batch takes is spare (`training.buffer`).

Rank r owns prompts r, r + world, ...: whole groups, so that advantages never cross ranks.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from vigorl.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """One rollout phase and the updates on it.

    Attributes:
        prompts_per_phase: Prompts over all ranks.
        group_size: Rollouts per prompt, at least 2.
        sequences_per_update: Sequences of one optimizer batch, over all ranks and micro-batches.
        micro_batch_size: Sequences of one forward pass on one rank; with `micro_batch_tokens` the
            most of them.
        passes: Times each rollout is learned from.
        micro_batch_tokens: Most tokens of one forward pass, pictures expanded; a longer sequence is
            alone. None counts sequences only.
    """

    prompts_per_phase: int
    group_size: int
    sequences_per_update: int
    micro_batch_size: int
    passes: int = 1
    micro_batch_tokens: int | None = None

    def __post_init__(self) -> None:
        for key in self.__dataclass_fields__:
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"plan.{key} must be at least 1, got {value}")
        if self.group_size < 2:
            raise ConfigError("plan.group_size must be at least 2: an advantage compares rollouts")
        if self.rollouts_per_phase % self.sequences_per_update:
            raise ConfigError(
                f"plan.sequences_per_update={self.sequences_per_update} must divide "
                f"prompts_per_phase x group_size = {self.rollouts_per_phase}"
            )

    @property
    def rollouts_per_phase(self) -> int:
        """Over all ranks."""
        return self.prompts_per_phase * self.group_size

    @property
    def updates_per_phase(self) -> int:
        return self.rollouts_per_phase // self.sequences_per_update * self.passes

    def accumulate(self, world_size: int) -> int:
        """Micro-batches per update on each rank, spare ones with them: what
        `trainer.accumulate_grad_batches` must be.

        Raises:
            ConfigError: The optimizer batch or the prompts do not divide evenly over the ranks.
        """
        if self.prompts_per_phase % world_size:
            raise ConfigError(
                f"plan.prompts_per_phase={self.prompts_per_phase} must be a multiple of the "
                f"{world_size} ranks"
            )
        return places_per_update(
            self.sequences_per_update,
            micro_batch_size=self.micro_batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            world_size=world_size,
            key="plan",
        )

    def batches_per_phase(self, world_size: int) -> int:
        """Micro-batches of a phase on each rank."""
        return self.updates_per_phase * self.accumulate(world_size)

    def prompts_of_phase(self, phase: int, *, num_prompts: int, seed: int) -> list[int]:
        """Indices of the prompts of a phase: every prompt once per pass over the data, reshuffled
        each pass.

        A pure function of the phase, so a resumed run asks exactly what the uninterrupted one would
        have.

        Args:
            phase: From 0.
            num_prompts: Size of the training set.
            seed: Of the run.
        Raises:
            ConfigError: The training set is empty.
        """
        if num_prompts < 1:
            raise ConfigError("the training set has no prompts; check data.train")
        first = phase * self.prompts_per_phase
        return prompts_from(first, self.prompts_per_phase, num_prompts=num_prompts, seed=seed)


def places_per_update(
    sequences_per_update: int,
    *,
    micro_batch_size: int,
    micro_batch_tokens: int | None,
    world_size: int,
    key: str,
) -> int:
    """Micro-batches per update on each rank; where tokens are counted, the most there may be.

    Args:
        sequences_per_update: See `PhasePlan`.
        micro_batch_size: See there.
        micro_batch_tokens: See there.
        world_size: Ranks.
        key: Of the settings, for errors.
    Raises:
        ConfigError: The optimizer batch does not divide evenly.
    """
    size = micro_batch_size if micro_batch_tokens is None else 1
    if sequences_per_update % (world_size * size):
        times = "" if size == 1 else f" x {key}.micro_batch_size={size}"
        raise ConfigError(
            f"{key}.sequences_per_update={sequences_per_update} must be a multiple of "
            f"{world_size} ranks{times}"
        )
    return sequences_per_update // (world_size * size)


def prompts_from(first: int, count: int, *, num_prompts: int, seed: int) -> list[int]:
    """The next `count` prompts after the first `first` of a run; see `PhasePlan.prompts_of_phase`,
    whose phases all have as many.
    """
    return [
        _shuffled(num_prompts, round=i // num_prompts, seed=seed)[i % num_prompts]
        for i in range(first, first + count)
    ]


@lru_cache(maxsize=2)
def _shuffled(count: int, *, round: int, seed: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"{seed}/{round}").shuffle(order)
    return tuple(order)
