"""Drives many dialogs through one engine without a turn barrier.

The next turn of a dialog is submitted the moment its last one is done, so at any time different
dialogs are at different turns, and no dialog waits for another; one whose tool waits for a service
(`WaitingTool`), or whose next turn for a judge (`Dialog.verdict`), lets the others go on. Results
come back in the order of the dialogs, whatever the order of finishing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from vigorl.core.errors import EngineError, RefusalError, RequestError
from vigorl.core.protocols import Completion, Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.spans import Kind, span
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed

_LOG = logging.getLogger(__name__)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Collected:
    """Finished rollouts, and what they cost.

    Attributes:
        rollouts: In the order of their dialogs.
        num_new_tokens: Tokens sampled.
        wall_s: All of it.
        engine_s: Inside `submit` and `poll`; the rest is this process's own Python.
        unfinished: Dialogs that are not done, where it was over before, in order.
    """

    rollouts: list[Rollout]
    num_new_tokens: int
    wall_s: float
    engine_s: float
    unfinished: tuple[Dialog, ...] = ()

    @property
    def own_s(self) -> float:
        return self.wall_s - self.engine_s


def evenly(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of many, evenly over all of them, which may be sorted; None takes all."""
    count = len(items) if limit is None else min(limit, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def build_dialogs(
    environment: Environment,
    tasks: Iterable[TaskRecord],
    *,
    group_size: int,
    phase: str,
    run_seed: int,
    rank: int = 0,
    num_ranks: int = 1,
) -> list[Dialog]:
    """`group_size` dialogs per task, groups one after the other.

    A task that occurs again in the same phase, on this rank or another, gets a group of its own
    with noise of its own.

    Args:
        environment: What all dialogs share.
        tasks: The questions of all ranks.
        group_size: Rollouts per question.
        phase: Names the phase, such as "train/3"; part of group names and of every seed.
        run_seed: Of the run.
        rank: Tasks `rank`, `rank + num_ranks`, ... get dialogs here.
        num_ranks: Ranks that share the tasks.
    """
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    seen: Counter[str] = Counter()
    dialogs: list[Dialog] = []
    for number, task in enumerate(tasks):
        repeat = seen[task.id]
        seen[task.id] += 1
        if number % num_ranks != rank:
            continue
        group = f"{phase}/{task.id}" + (f"#{repeat + 1}" if repeat else "")
        seeds = [
            derive_seed(run_seed, phase, task.id, repeat, index) for index in range(group_size)
        ]
        dialogs += environment.start_group(task, group=group, seeds=seeds)
    return dialogs


def collect(
    engine: Engine,
    dialogs: Sequence[Dialog],
    *,
    phase: str,
    on_done: Callable[[Rollout], None] | None = None,
    then: Callable[[Rollout], Sequence[Dialog]] | None = None,
    is_over: Callable[[], bool] | None = None,
) -> Collected:
    """Run dialogs to their ends; one whose turn the model refuses ends there, without an answer.

    Args:
        engine: With nothing in flight.
        dialogs: Fresh ones; their states change.
        phase: Names the phase in errors.
        on_done: Called with each rollout as it finishes, in order of finishing.
        then: The fresh dialogs that follow a rollout, such as an episode's next step; they are run
            too, and their rollouts come behind the others.
        is_over: Asked after each poll: once it is, turns that are being sampled become whole, and
            no dialog begins another. None runs all of them to their ends.
    Raises:
        EngineError: The engine died, or broke its protocol; the message names the phase and how
            far it came.
    """
    run = _Run(engine, dialogs, on_done, then)
    started, is_ending = time.perf_counter(), False
    try:
        run.submit(range(len(dialogs)))
        while run.pending or run.waiting:
            ready = run.poll()
            is_ending = is_ending or (is_over is not None and is_over())
            run.submit(() if is_ending else ready)
    except EngineError as error:
        if isinstance(error, RequestError):
            engine.cancel(run.pending)
        done = f"{len(run.rollouts)} of {len(run.dialogs)} rollouts finished"
        raise EngineError(f"phase {phase}: the engine failed with {done}: {error}") from error
    except Exception:  # of who listens: the engine is whole, and the next to ask finds it free
        engine.cancel(run.pending)
        raise
    rollouts = [run.rollouts[number] for number in sorted(run.rollouts)]
    unfinished = tuple(dialog for dialog in run.dialogs if not dialog.is_done)
    wall_s = time.perf_counter() - started
    return Collected(rollouts, run.num_new_tokens, wall_s, run.engine_s, unfinished)


class _Run:
    """The counters and the requests in flight of one `collect`."""

    def __init__(
        self,
        engine: Engine,
        dialogs: Sequence[Dialog],
        on_done: Callable[[Rollout], None] | None,
        then: Callable[[Rollout], Sequence[Dialog]] | None,
    ) -> None:
        self.engine, self.dialogs, self.on_done, self.then = engine, list(dialogs), on_done, then
        self.pending: dict[str, int] = {}  # request id -> dialog number
        # for services, or with its completion taken for a judge
        self.waiting: dict[int, tuple[Completion | None, list[Future[Any]]]] = {}
        self.rollouts: dict[int, Rollout] = {}  # dialog number -> once it is done
        self.num_new_tokens, self.engine_s = 0, 0.0
        if engine.num_in_flight:
            raise EngineError(f"{engine.num_in_flight} requests of someone else are in flight")

    def submit(self, numbers: Iterable[int]) -> None:
        requests = [(number, self.dialogs[number].next_request()) for number in numbers]
        started = time.perf_counter()
        with span(Kind.ENGINE, "submit"):
            for number, request in requests:
                if request.id in self.pending:
                    raise EngineError(f"two dialogs are called {request.id}")
                self.pending[request.id] = number
                self.engine.submit(request)
        self.engine_s += time.perf_counter() - started

    def poll(self) -> list[int]:
        """Let the engine work, or wait for services; return the dialogs that have a next turn."""
        completions, ready = self._completions() if self.pending else ([], [])
        for completion in completions:
            number = self.pending.pop(completion.request_id, None)
            if number is None:
                unasked = f"the engine answered {completion.request_id}, which was not asked"
                raise EngineError(unasked)
            asked = self.dialogs[number].ask_ahead(completion)
            self.waiting[number] = (completion, asked)
        return [*ready, *self._answered(may_wait=not self.pending and not ready)]

    def _completions(self) -> tuple[list[Completion], list[int]]:
        """What the engine has finished; the dialogs that follow one that was refused."""
        started = time.perf_counter()
        try:
            with span(Kind.ENGINE, "poll"):
                completions = self.engine.poll()
        except RefusalError as error:
            _LOG.warning("counted as refused: %s", error)
            number = self.pending.pop(error.request_id)
            self.dialogs[number].refuse()
            return [], list(self._finish(number))
        self.engine_s += time.perf_counter() - started
        if not completions:
            raise EngineError(f"poll returned nothing while {len(self.pending)} requests wait")
        return completions, []

    def _answered(self, *, may_wait: bool) -> list[int]:
        """The dialogs that have a next turn, of those that wait for no service any more."""
        still = [[one for one in futures if not one.done()] for _, futures in self.waiting.values()]
        if may_wait and still and all(still):
            with span(Kind.WAIT, "services"):
                wait([one for futures in still for one in futures], return_when=FIRST_COMPLETED)
        done = [
            number
            for number, (_, futures) in self.waiting.items()
            if all(one.done() for one in futures)
        ]
        return [follows for number in done for follows in self._accept(number)]

    def _accept(self, number: int) -> Sequence[int]:
        """The dialogs that have a next turn because of a completion, or of a judge."""
        completion, _ = self.waiting.pop(number)
        dialog = self.dialogs[number]
        if completion is None:
            return [number]
        dialog.accept(completion)
        self.num_new_tokens += len(completion.token_ids)
        if dialog.is_done:
            return self._finish(number)
        if dialog.verdict is not None:
            self.waiting[number] = (None, [dialog.verdict])
            return []
        return [number]

    def _finish(self, number: int) -> Sequence[int]:
        """The dialogs that follow one that is done."""
        rollout = self.dialogs[number].rollout(policy_version=self.engine.policy_version)
        self.rollouts[number] = rollout
        if self.on_done is not None:
            self.on_done(rollout)
        num_before = len(self.dialogs)
        self.dialogs += self.then(rollout) if self.then is not None else ()
        return range(num_before, len(self.dialogs))
