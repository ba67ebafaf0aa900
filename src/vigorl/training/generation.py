"""A run's engine between the trainer's steps: it gets the weights, generates this rank's share of
rollouts, and sleeps while the policy is updated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.spans import Kind, span
from vigorl.models.policy import Policy
from vigorl.models.weight_export import export_adapters, export_weights
from vigorl.rollout.collector import Collected, build_dialogs, collect
from vigorl.rollout.environment import Environment
from vigorl.rollout.left import EarlyEnd, LeftGroup, PartialRound
from vigorl.rollout.probes.probe import Probe, Schedule, Taught, ask_probes

OnProgress = Callable[[str, int, int], None]  # name, rollouts done, rollouts in all
Costs = dict[str, tuple[float, float]]  # metric name: (sum, count)


@dataclass(frozen=True, slots=True)
class Generated:
    """One rank's rollouts, whole groups, and what they took."""

    rollouts: list[Rollout]
    collected: Collected
    probe_s: float | None = None  # where probes were asked
    taught: tuple[Taught, ...] = ()  # answers to them that are learned from
    left: tuple[LeftGroup, ...] = ()  # of a round that has ended early

    @property
    def costs(self) -> Costs:
        cost = self.collected
        costs = {
            "time/generate_s": (cost.wall_s, 1),
            "time/engine_frac": (cost.engine_s, max(cost.wall_s, 1e-9)),
            "perf/tokens_per_s": (cost.num_new_tokens, max(cost.wall_s, 1e-9)),
        }
        if self.probe_s is not None:
            costs["time/probe_s"] = (self.probe_s, 1)
        return costs

    def joined(self, later: Generated) -> Generated:
        """Both, one after the other, as one generation."""
        a, b = self.collected, later.collected
        collected = Collected(
            a.rollouts + b.rollouts,
            a.num_new_tokens + b.num_new_tokens,
            a.wall_s + b.wall_s,
            a.engine_s + b.engine_s,
        )
        asked = [one.probe_s for one in (self, later) if one.probe_s is not None]
        rollouts, taught = self.rollouts + later.rollouts, self.taught + later.taught
        left = self.left + later.left
        return Generated(rollouts, collected, sum(asked) if asked else None, taught, left)


class RolloutGenerator:
    """Publishes, generates, rests.

    Args:
        engine: Generates turns; owns its weights.
        seed: Seed of the sampling noise.
    """

    def __init__(self, engine: Engine, *, seed: int) -> None:
        self.engine, self.seed = engine, seed
        self._version = -1

    def publish(self, policy: Policy, *, version: int) -> None:
        """Give the engine the weights as they are now, unless it has them."""
        if self._version != version:
            export = export_adapters if self.engine.takes_adapters else export_weights
            with span(Kind.PUBLISH):
                self.engine.publish(export(policy.model), version=version)
            self._version = version

    def rest(self) -> None:
        """While the policy is updated the engine needs no memory, and its weights are outdated."""
        with span(Kind.SLEEP):
            self.engine.sleep()
        self._version = -1

    @property
    def publish_costs(self) -> Costs:
        cost = self.engine.last_publish
        if cost is None:
            return {}
        return {"time/publish_s": (cost.seconds, 1), "perf/publish_mb": (cost.num_bytes / 1e6, 1)}

    def generate(
        self,
        environment: Environment,
        tasks: Sequence[TaskRecord],
        *,
        name: str,
        group_size: int,
        rank: int,
        num_ranks: int,
        on_progress: OnProgress,
        probes: Sequence[Probe] = (),
        schedule: Schedule | None = None,
        ends: EarlyEnd | None = None,
    ) -> Generated:
        """This rank's share of the tasks' rollouts.

        Args:
            environment: The dialogs.
            tasks: The questions of all ranks.
            name: The phase's; part of every request's seed.
            group_size: Rollouts per task.
            rank: This rank's number, from 0.
            num_ranks: How many share the tasks.
            on_progress: Told of every finished rollout.
            probes: What is asked about the rollouts once all have finished.
            schedule: How much of it, in place of the probes' own.
            ends: When it is over, before all groups are whole; None: when all are.
        Raises:
            ConfigError: It may end early on one of several ranks that share an engine.
        """
        sharing = self.engine.ranks_per_engine
        dialogs = build_dialogs(
            environment,
            tasks,
            group_size=group_size,
            phase=name,
            run_seed=self.seed,
            rank=rank // sharing,
            num_ranks=num_ranks // sharing,
        )
        if ends is not None and sharing > 1:
            raise ConfigError("overlap.spare_groups needs an engine that no ranks share")
        partial = None if ends is None else PartialRound(ends, environment, dialogs)
        dialogs = dialogs if partial is None else partial.dialogs
        finished = 0

        def count(rollout: Rollout) -> None:
            nonlocal finished
            finished += 1
            if partial is not None:
                partial.note(rollout)
            on_progress(name, finished, len(dialogs))

        is_over = None if partial is None else partial.is_over
        with span(Kind.GENERATE, name):
            collected = collect(self.engine, dialogs, phase=name, on_done=count, is_over=is_over)
        rollouts, left = collected.rollouts, list[LeftGroup]()
        if partial is not None:
            version = self.engine.policy_version
            rollouts, left = partial.split(collected.unfinished, policy_version=version)
            collected = replace(collected, rollouts=rollouts, unfinished=())
        probed, probe_s, taught = rollouts, None, list[Taught]()
        if probes:
            started = time.perf_counter()
            with span(Kind.PROBE):
                probed = ask_probes(
                    lambda asked: collect(self.engine, asked, phase=f"{name}, probes").rollouts,
                    probes,
                    probed,
                    environment=environment,
                    schedule=schedule,
                    taught=taught,
                )
            probe_s = time.perf_counter() - started

        def is_own(number: int) -> bool:
            return number // group_size % sharing == rank % sharing

        rollouts = [rollout for number, rollout in enumerate(probed) if is_own(number)]
        own = tuple(one for one in taught if is_own(one.asked))
        return Generated(rollouts, collected, probe_s, own, tuple(left))
