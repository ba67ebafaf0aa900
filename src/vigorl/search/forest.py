"""Many trees at once through one engine: every child and rollout that can run, runs.

    TreeSearch -> Job -> Dialog -> GenerationRequest -> engine
    engine -> Completion -> Dialog -> Thought | SearchRollout -> TreeSearch

A node's dialog is kept, and each job goes on from a fork of it: pictures and observations are those
of rollouts, and prefix caches serve a whole tree. Noise is seeded by (run seed, task, job), so a
tree depends neither on the others nor on what the engine finishes first.

Thoughts are checked against the data's boxes as they come; where there are none, a judge may be
asked (`point_check.py`), once the tree is finished and while the search goes on. Neither changes
what is searched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vigorl.core.errors import ConfigError, EngineError, RequestError
from vigorl.core.geometry import Point
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import StopReason, Turn
from vigorl.core.search_metrics import numbered_nodes
from vigorl.core.search_tree import CheckedBy, SearchRollout, SearchTreeRecord
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed
from vigorl.search.mcts import Job, JobKind, SearchSettings, Thought, TreeSearch
from vigorl.search.point_check import PointCheck

_LOG = logging.getLogger(__name__)
MAX_REFUSED = 16  # in a row; then nothing more is asked: a wrong key, URL or model
OUT_OF_TURNS = (StopReason.TURN_LIMIT, StopReason.TOKEN_BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Where a search stops, with the trees that are finished; None: no limit.

    Attributes:
        max_tokens: Sampled tokens.
        max_requests: Requests that the engine has answered.
        max_seconds: Seconds of wall-clock time.
    """

    max_tokens: int | None = None
    max_requests: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for key in ("max_tokens", "max_requests", "max_seconds"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError(f"budget.{key} must be above 0 or null, got {value}")

    def is_used_up(self, spent: ForestStats) -> bool:
        pairs = (
            (spent.num_tokens, self.max_tokens),
            (spent.num_requests, self.max_requests),
            (spent.wall_s, self.max_seconds),
        )
        return any(limit is not None and amount >= limit for amount, limit in pairs)


@dataclass(slots=True)
class ForestStats:
    """What a search has cost so far.

    Attributes:
        num_trees: Trees that are finished, and checked where they are to be.
        num_solved: Those of them with a right answer somewhere.
        num_checked: Thoughts of theirs that the judge gave a verdict on.
        num_unchecked: Thoughts that it gave none on: no reply, or one that could not be read.
        num_requests: Requests that the engine has answered.
        num_tokens: Sampled tokens.
        num_repeats: Thoughts that repeated a point or could not be read.
        num_refused: Trees that were given up because the engine refused one of their requests.
        wall_s: Seconds since the search began.
        max_in_flight: Most requests at once.
        is_cut: Whether the budget ended the search.
    """

    num_trees: int = 0
    num_solved: int = 0
    num_checked: int = 0
    num_unchecked: int = 0
    num_requests: int = 0
    num_tokens: int = 0
    num_repeats: int = 0
    num_refused: int = 0
    wall_s: float = 0.0
    max_in_flight: int = 0
    is_cut: bool = False


@dataclass(slots=True)
class _Tree:
    """A tree that grows, and the dialog that each of its thoughts ended in."""

    task: TaskRecord
    search: TreeSearch
    dialogs: dict[str, Dialog]
    num_forks: int = 0


@dataclass(slots=True)
class _Pending:
    """A job whose request is with the engine."""

    tree: _Tree
    job: Job
    dialog: Dialog
    texts: list[str] = field(default_factory=list)  # of a rollout, so far


def grow_forest(
    engine: Engine,
    environment: Environment,
    tasks: Iterable[TaskRecord],
    settings: SearchSettings,
    *,
    run_seed: int,
    max_in_flight: int = 256,
    budget: Budget | None = None,
    check: PointCheck | None = None,
    on_progress: Callable[[ForestStats], None] | None = None,
) -> Iterator[SearchTreeRecord]:
    """Search every task, and yield each tree when it is finished.

    Args:
        engine: The teacher, with nothing in flight.
        environment: Its dialogs; `limits.max_turns` is the depth of the tree, `temperature` the
            search's.
        tasks: Ids unique; taken one after the other, as room gets free.
        settings: How far and how wide each tree grows.
        run_seed: Seed of the sampling noise.
        max_in_flight: A new tree begins while the engine has fewer requests than this.
        budget: Ends the search early; a tree that has had a simulation is yielded as far as it got,
            without the simulation that is cut.
        check: Asked about thoughts of tasks whose data has no target boxes; None leaves them open.
        on_progress: Called after each poll.
    Raises:
        ConfigError: Greedy sampling, by which all children would be the same, or no room for a
            request.
        EngineError: The engine died or refused many requests in a row, or the judge is out of
            reach; the message says how far the search was.
    """
    if environment.temperature == 0:
        raise ConfigError("env.temperature=0: all children of a node would be the same thought")
    if max_in_flight < 1:
        raise ConfigError(f"max_in_flight must be at least 1, got {max_in_flight}")
    forest = _Forest(engine, environment, settings, run_seed, check)
    budget, waiting = budget or Budget(), iter(tasks)
    try:
        while not budget.is_used_up(forest.stats):
            while engine.num_in_flight < max_in_flight:
                task = next(waiting, None)
                if task is None:
                    break
                forest.begin(task)
            if not engine.num_in_flight:
                break
            yield from forest.poll()
            yield from forest.checked()
            if on_progress is not None:
                on_progress(forest.stats)
        forest.stats.is_cut = bool(forest.trees) or next(waiting, None) is not None
        yield from forest.cut()
        for tree in forest.wait_for_check():
            yield tree
            if on_progress is not None:
                on_progress(forest.stats)
    finally:
        if check is not None:
            check.cancel()


class _Forest:
    """The trees that are searched at the moment, by task id."""

    def __init__(
        self,
        engine: Engine,
        environment: Environment,
        settings: SearchSettings,
        run_seed: int,
        check: PointCheck | None,
    ) -> None:
        self.engine, self.environment, self.settings = engine, environment, settings
        self.run_seed, self.check = run_seed, check
        self.trees: dict[str, _Tree] = {}
        self._begun: set[str] = set()
        self._num_refused_in_a_row = 0
        self.pending: dict[str, _Pending] = {}  # by request id
        self.stats = ForestStats()
        self._started = time.perf_counter()

    def begin(self, task: TaskRecord) -> None:
        """Begin the tree of a task."""
        if task.id in self._begun:
            raise EngineError(f"two tasks are called {task.id}: task ids must be unique")
        self._begun.add(task.id)
        root = self.environment.start(task, group=f"search/{task.id}", index=0, seed=0)
        search = TreeSearch(self.settings, question=task.question)
        self.trees[task.id] = _Tree(task, search, {"": root})
        self._send_jobs(self.trees[task.id])

    def poll(self) -> list[SearchTreeRecord]:
        """Let the engine work once; the trees that this finished."""
        self.stats.max_in_flight = max(self.stats.max_in_flight, len(self.pending))
        try:
            completions = self.engine.poll()
            self._num_refused_in_a_row = 0
        except RequestError as error:
            completions = []
            self._give_up(error)
        except EngineError as error:
            raise self._failure(error) from error
        finished: list[SearchTreeRecord] = []
        for completion in completions:  # services answer all of them at the same time
            if completion.request_id in self.pending:
                self.pending[completion.request_id].dialog.ask_ahead(completion)
        for completion in completions:
            pending = self.pending.pop(completion.request_id, None)
            if pending is None:
                raise EngineError(f"the engine answered {completion.request_id}, never asked")
            self.stats.num_requests += 1
            self.stats.num_tokens += len(completion.token_ids)
            pending.dialog.accept(completion)
            tree = pending.tree
            if self._goes_on(pending):
                self._send(pending)
                continue
            self._send_jobs(tree)
            if tree.search.is_done:
                finished += self._finish(self.trees.pop(tree.task.id))
        return self._count(finished)

    def _give_up(self, error: RequestError) -> None:
        """The tree whose request was refused: asked again, it would be refused again."""
        task_id = self.pending[error.request_id].tree.task.id
        ids = [key for key, pending in self.pending.items() if pending.tree.task.id == task_id]
        self.engine.cancel(ids)
        for request_id in ids:
            del self.pending[request_id]
        del self.trees[task_id]
        self.stats.num_refused += 1
        self._num_refused_in_a_row += 1
        _LOG.warning("the tree of %s is given up: %s", task_id, error)
        is_over = not self.trees and not self.stats.num_requests  # nothing was ever answered
        if self._num_refused_in_a_row == MAX_REFUSED or is_over:
            self.engine.cancel(list(self.pending))
            raise self._failure(error) from error

    def _failure(self, error: EngineError) -> EngineError:
        return EngineError(f"the search failed with {self.stats.num_trees} trees finished: {error}")

    def cut(self) -> list[SearchTreeRecord]:
        """End the trees that still grow; those that have had a simulation."""
        self.engine.cancel(list(self.pending))
        grown = [tree for tree in self.trees.values() if tree.search.num_simulations]
        self.trees.clear()
        return self._count([record for tree in grown for record in self._finish(tree)])

    def checked(self) -> list[SearchTreeRecord]:
        """The trees whose verdicts have come in, without waiting."""
        if self.check is None:
            return []
        with self._check_failure(self.check):
            return self._count(self.check.poll())

    def wait_for_check(self) -> Iterator[SearchTreeRecord]:
        """The trees that only wait for their verdicts, one after the other."""
        if self.check is not None:
            with self._check_failure(self.check):
                for tree in self.check.finish():
                    yield from self._count([tree])

    @contextmanager
    def _check_failure(self, check: PointCheck) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            self.engine.cancel(list(self.pending))
            raise EngineError(
                f"the check of points failed with {self.stats.num_trees} trees finished and "
                f"{check.num_waiting} waiting for it: {error}"
            ) from error

    def _count(self, finished: list[SearchTreeRecord]) -> list[SearchTreeRecord]:
        stats = self.stats
        for tree in finished:
            stats.num_trees += 1
            stats.num_solved += tree.solved_at is not None
            if tree.checked_by is CheckedBy.JUDGE:
                hits = [place.node.is_hit for place in numbered_nodes(tree.root) if place.points]
                stats.num_unchecked += hits.count(None)
                stats.num_checked += len(hits) - hits.count(None)
        stats.wall_s = time.perf_counter() - self._started
        return finished

    def _goes_on(self, pending: _Pending) -> bool:
        """Whether a rollout has a next turn; else its tree is told what the job brought."""
        dialog, job, tree = pending.dialog, pending.job, pending.tree
        turn = dialog.turns[-1]
        if job.kind is JobKind.THOUGHT:
            tree.dialogs[job.id] = dialog
            tree.search.tell(job.id, _thought(dialog, turn))
            return False
        pending.texts.append(turn.text)
        if not dialog.is_done:
            return True
        reward, texts = _reward(dialog, turn), tuple(pending.texts)
        tree.search.tell(job.id, SearchRollout(turn.parsed.answer, reward, texts))
        return False

    def _send_jobs(self, tree: _Tree) -> None:
        for job in tree.search.jobs():
            tree.num_forks += 1
            seed = derive_seed(self.run_seed, "search", tree.task.id, job.id)
            dialog = tree.dialogs[job.source].fork(index=tree.num_forks, seed=seed)
            self._send(_Pending(tree, job, dialog))

    def _send(self, pending: _Pending) -> None:
        request = pending.dialog.next_request()
        self.pending[request.id] = pending
        self.engine.submit(request)

    def _finish(self, tree: _Tree) -> list[SearchTreeRecord]:
        """The tree; none while it is checked."""
        search, task, image = tree.search, tree.task, tree.dialogs[""].image
        self.stats.num_repeats += search.num_repeats
        has_boxes = bool(task.target_boxes)
        record = SearchTreeRecord(
            id=task.id,
            question=task.question,
            answer=task.answer,
            image=image.path,
            root=search.tree(),
            system_prompt=self.environment.prompt.system,
            frame=image.text_size,
            solved_at=search.solved_at,
            num_simulations=search.num_simulations,
            checked_by=CheckedBy.BOXES if has_boxes else None,
            more_images=task.images[1:],
            scorer=task.scorer,
            options=task.options,
            targets=task.targets,
            category=task.category,
        )
        if self.check is None or has_boxes:
            return [record]
        self.check.submit(record)
        return []


def _thought(dialog: Dialog, turn: Turn) -> Thought:
    """What the last turn of a dialog adds to the tree."""
    parsed, whole = turn.parsed, dialog.image
    points = parsed.points
    if turn.focus is not None:
        place = turn.focus.on_first(dialog.views)
        points = (whole.to_text(place.point),) if place else ()
    has_acted = parsed.answer is not None or bool(turn.observation) or dialog.is_step(turn)
    is_over = dialog.is_done and dialog.stop_reason in OUT_OF_TURNS
    return Thought(
        text=turn.text,
        points=points,
        answer=parsed.answer,
        reward=_reward(dialog, turn) if dialog.is_done else None,
        is_readable=bool(parsed.think) and (has_acted or is_over) and not turn.tool_error,
        is_hit=_is_hit(dialog, turn, points),
    )


def _reward(dialog: Dialog, last: Turn) -> float:
    """What a path is worth: how right the answer of its last turn is, and nothing else."""
    return dialog.task.score(last.parsed.answer, view=dialog.image)


def _is_hit(dialog: Dialog, turn: Turn, points: Sequence[Point]) -> bool | None:
    """Whether the turn looked where it should, by the data's boxes; None where it has none."""
    boxes, whole = dialog.task.target_boxes, dialog.image
    if not boxes or not (points or turn.focus):
        return None
    if turn.views:
        return any(is_zoom_hit(view, boxes, first=whole) for view in turn.views)
    places = [whole.to_original(point) for point in points]
    return any(box.contains(place) for box in boxes for place in places)
