"""Rollouts of the next phase are made while this phase's are learned from: one step off-policy.

    phase           k                              k + 1
    the learner     W_k -> learn k -> W_(k+1)      W_(k+1) -> learn k + 1 -> W_(k+2)
    the engine      W_k:   make k + 1              W_(k+1): make k + 2

W_k are the weights of the start of phase k, published before both begin. What is made ahead is one
round: generated, probed, judged and scored as one. Its prompts are chosen before it starts, so a
sampler knows what it would know without overlap; further rounds of a group method are made when the
phase begins, by the weights of then, and so is the whole first phase.

What was sampled is one phase older than what learns, so the gap of `models.correction` holds the
policy's own way beside the engine's: `old` are the logprobs of the phase's start (AReaL's proximal
policy), `sampling` those of the policy that sampled (its behaviour policy), and the loss is
weighted by old / sampling. Without such a weight overlap is refused.

Only the engine, the tools, the probes and the rewards work in the background: no collectives (ranks
meet on the main thread), no weights of the trainer, no logger. Which thread works changes no digit:
requests carry their own noise.

Left out: more than one phase ahead, and weights that change in the middle of a round (AReaL, verl's
fully_async), which gain where rollouts take hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import Any

import torch

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import AtLeastOne, Count, check_ranges
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.core.spans import Kind, span
from vigorl.ranks import from_all_ranks, num_ranks, own_rank
from vigorl.rollout.collector import Collected
from vigorl.rollout.left import EarlyEnd, LeftGroup
from vigorl.rollout.probes.probe import Taught
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json
from vigorl.training.algorithms.protocol import Algorithm, CorrectsEngine
from vigorl.training.generation import Costs, Generated, OnProgress
from vigorl.training.plan import PhasePlan

_DROP_S = 10.0  # what a run that ends waits for a thread that is in the middle of a turn


@dataclass(frozen=True, slots=True, kw_only=True)
class OneStep:
    """The settings of `overlap=one_step`.

    Attributes:
        in_background: False makes the same rounds at the same moments without a thread: every
            digit is the same, and nothing overlaps.
        spare_groups: Groups that are in the making beyond those that a phase learns from, over all
            ranks: a round is over once as many as these are whole, and the others are left to the
            next one (`rollout.left`). At 0 a round is over when all are.
        max_staleness: Phases between the weights that sampled a rollout's first turn and those that
            learn from it, at most: a group that would be older is waited for. Without spare groups
            it is 1, as all are whole.
    Raises:
        ConfigError: A number out of its range, or without effect.
    """

    in_background: bool = True
    spare_groups: Count = 0
    max_staleness: AtLeastOne = 1

    def __post_init__(self) -> None:
        check_ranges(self, "overlap")
        if bool(self.spare_groups) != (self.max_staleness > 1):
            raise ConfigError(
                f"overlap.spare_groups={self.spare_groups} with "
                f"overlap.max_staleness={self.max_staleness}: groups that are left are 2 phases "
                "old or more, and without spare groups none is left"
            )

    def ends(
        self, plan: PhasePlan, left: Sequence[LeftGroup], *, num_ranks: int
    ) -> EarlyEnd | None:
        """When a round is over on each rank; None: when all of its groups are whole."""
        if not self.spare_groups:
            return None
        enough = plan.prompts_per_phase // num_ranks
        return EarlyEnd(enough=enough, max_rounds=self.max_staleness, left=left)

    def num_prompts(self, plan: PhasePlan, left: Sequence[LeftGroup]) -> int | None:
        """How many a round asks, over all ranks; None: as planned. As many as are learned from are
        new each time, so what is left stays `spare_groups`.
        """
        if not self.spare_groups:
            return None
        return plan.prompts_per_phase + (0 if left else self.spare_groups)


def check_correction(algorithm: Algorithm, *, corrects: bool) -> None:
    """Refuse to learn from an older policy's rollouts as if they were the policy's own.

    Args:
        algorithm: Of the run.
        corrects: There is an importance correction.
    Raises:
        ConfigError: Neither weighs the gap.
    """
    does_itself = isinstance(algorithm, CorrectsEngine) and algorithm.corrects_engine
    if not (corrects or does_itself):
        raise ConfigError(
            "overlap=one_step learns from rollouts of the weights before: set "
            "importance_correction={_target_:vigorl.models.correction.ImportanceCorrection}, or an "
            f"algorithm that weighs the gap itself, not {type(algorithm).__name__} as it is set"
        )


@dataclass(frozen=True, slots=True)
class Round:
    """One round of generation on one rank.

    Attributes:
        scored: Its rollouts, whole groups.
        generated: The same before their scores, with what they cost.
        asked: (sum, count) by name, of the choice of the prompts.
    """

    scored: list[ScoredRollout]
    generated: Generated
    asked: Costs

    def joined(self, later: Round) -> Round:
        """Both, one after the other, as one round."""
        asked = dict(self.asked)
        for name, (total, num) in later.asked.items():
            before = asked.get(name, (0.0, 0.0))
            asked[name] = (before[0] + total, before[1] + num)
        generated = self.generated.joined(later.generated)
        return Round(self.scored + later.scored, generated, asked)

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds: numbers, and JSON lines as `rollout.recorder` writes them."""
        cost, taught = self.generated.collected, self.generated.taught
        return {
            "scored": [_line(one) for one in self.scored],
            "taught": [[one.asked, one.coef, _line(one.scored)] for one in taught],
            "collected": [cost.num_new_tokens, cost.wall_s, cost.engine_s],
            "probe_s": self.generated.probe_s,
            "left": [group.plain() for group in self.generated.left],
            "asked": {name: list(one) for name, one in self.asked.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Round:
        """The inverse of `plain`."""
        scored = [_scored(line) for line in plain["scored"]]
        rollouts = [one.rollout for one in scored]
        taught = tuple(Taught(at, coef, _scored(line)) for at, coef, line in plain["taught"])
        cost = Collected(rollouts, *plain["collected"])
        asked = {name: (total, num) for name, (total, num) in plain["asked"].items()}
        left = tuple(LeftGroup.from_plain(group) for group in plain["left"])
        return cls(scored, Generated(rollouts, cost, plain["probe_s"], taught, left), asked)


class Ahead:
    """The one round that is made ahead, on each rank.

    Args:
        settings: Whether there is a thread.
    """

    def __init__(self, settings: OneStep) -> None:
        self.settings = settings
        self._phase: int | None = None  # whose round it is
        self._made: Round | AsyncResult[Round] | None = None
        self._waited_s, self._is_dropped = 0.0, False
        self._failed: Exception | None = None  # what the round has raised, once it is known

    def start(self, phase: int, make: Callable[[OnProgress], Round]) -> None:
        """Begin a phase's round.

        Args:
            phase: From 0.
            make: Makes it; the callback that it is given says when to stop, by an exception.
        """
        assert self._made is None, f"the round of phase {self._phase} was not taken"
        self._phase, self._is_dropped = phase, False
        if not self.settings.in_background:
            started = time.perf_counter()
            self._made = make(self._go_on)
            self._waited_s += time.perf_counter() - started
            return
        # of daemons: a server that hangs keeps no process from ending
        pool = ThreadPool(1, _use_device, (_own_device(),))
        self._made = pool.apply_async(make, (self._go_on,))
        pool.close()

    def settle(self) -> None:
        """Wait until the engine is free; what the round has raised is raised here."""
        if isinstance(self._made, AsyncResult):
            started, making = time.perf_counter(), self._made
            self._made = None
            try:
                with span(Kind.WAIT, "rollouts made ahead"):
                    self._made = making.get()
            except Exception as error:  # noqa: BLE001  raised below, and whenever it is asked for
                self._failed = error
            self._waited_s += time.perf_counter() - started
        if self._failed is not None:
            raise self._failed

    def take(self, phase: int) -> Round | None:
        """The phase's round, once it is made; None where none was begun."""
        self.settle()
        made, of_phase = self._made, self._phase
        self._made = self._phase = None
        assert not isinstance(made, AsyncResult)
        return made if of_phase == phase else None

    def taken_costs(self) -> Costs:
        """How long the learner has waited since the last call."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return {"time/wait_s": (waited_s, 1)}

    def drop(self) -> None:
        """Give the round up: it ends at its next finished rollout."""
        self._is_dropped = True
        if isinstance(self._made, AsyncResult):
            self._made.wait(_DROP_S)
        self._made = self._phase = self._failed = None

    def _go_on(self, name: str, done: int, total: int) -> None:
        if self._is_dropped:
            raise _DroppedError(f"{name}: nobody waits for it any more")

    def state_dict(self) -> dict[str, Any]:
        """The round, waited for; all ranks call it together. Empty without one, or where it has
        failed: the phase that was learned is saved, and who takes the round hears of it.
        """
        with suppress(Exception):  # `settle` and `take` raise it again
            self.settle()
        if not all(from_all_ranks(self._made is not None)):
            return {}
        assert isinstance(self._made, Round)
        return {"phase": self._phase, "of_ranks": from_all_ranks(self._made.plain())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ConfigError where another number of ranks has made it."""
        of_ranks: Sequence[Mapping[str, Any]] = state["of_ranks"]
        if len(of_ranks) != num_ranks():
            raise ConfigError(
                f"the checkpoint holds a phase's rollouts made ahead by {len(of_ranks)} ranks, and "
                f"this run has {num_ranks()}: resume with as many (trainer.devices, "
                "trainer.num_nodes), or with overlap=none, which makes them anew"
            )
        self._phase, self._made = state["phase"], Round.from_plain(of_ranks[own_rank()])


def _own_device() -> int | None:
    """Of this thread, where a GPU is in use: new threads begin with GPU 0."""
    return torch.cuda.current_device() if torch.cuda.is_initialized() else None


def _use_device(number: int | None) -> None:
    if number is not None:
        torch.cuda.set_device(number)


class _DroppedError(Exception):
    """Ends the thread of a round that nobody takes."""


def staleness_sums(rollouts: Sequence[Rollout], *, now: int) -> Costs:
    """How many updates the policy has had since each token was sampled, and how many rollouts were
    sampled by several policies.

    Args:
        rollouts: Of this rank.
        now: Version of the policy.
    """
    ages = [
        (now - version, len(turn.completion_ids))
        for one in rollouts
        for turn, version in zip(
            one.turns, one.turn_versions or (one.policy_version,) * len(one.turns), strict=True
        )
    ]
    return {
        "rollout/staleness": (sum(age * num for age, num in ages), sum(num for _, num in ages)),
        "rollout/mixed_frac": (sum(bool(one.turn_versions) for one in rollouts), len(rollouts)),
    }


def _line(one: ScoredRollout) -> str:
    return rollout_to_json(one, phase="ahead", run_seed=0)


def _scored(line: str) -> ScoredRollout:
    return rollout_from_json(line).scored
