"""Many trees at once through one engine: every child and rollout that can run, runs.

    TreeSearch -> Job -> Dialog -> GenerationRequest -> engine
    engine -> Completion -> Dialog -> Thought | SearchRollout -> TreeSearch

A node's dialog is kept, and each job goes on from a fork of it: pictures and observations are those
of rollouts, and prefix caches serve a whole tree. Noise is seeded by (run seed, task, job), so a
tree depends neither on the others nor on what the engine finishes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.geometry import FrameMap, Point
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.answers import score_answer
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import StopReason, Turn
from vigorl.core.search_tree import SearchRollout, SearchTreeRecord
from vigorl.rollout.environment import Dialog, Environment, derive_seed
from vigorl.search.mcts import Job, JobKind, SearchSettings, Thought, TreeSearch

PointCheck = Callable[[TaskRecord, str, Sequence[Point]], bool | None]
OUT_OF_TURNS = (StopReason.TURN_LIMIT, StopReason.TOKEN_BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Where a search stops, with the trees that are finished; None: no limit.

    Attributes:
        max_tokens: Sampled.
        max_requests: Sent to the engine.
        max_seconds: Of wall-clock time.
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
        num_trees: Finished.
        num_solved: Of these, with a right answer somewhere.
        num_requests: Answered by the engine.
        num_tokens: Sampled.
        num_repeats: Thoughts that repeated a point or could not be read.
        wall_s: So far.
        max_in_flight: Most requests at once.
        is_cut: The budget ended it.
    """

    num_trees: int = 0
    num_solved: int = 0
    num_requests: int = 0
    num_tokens: int = 0
    num_repeats: int = 0
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
class _Flight:
    """A request with the engine."""

    tree: _Tree
    job: Job
    dialog: Dialog
    texts: list[str] = field(default_factory=list)  # of a rollout so far


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
        settings: Of each tree.
        run_seed: Of the sampling noise.
        max_in_flight: A new tree begins while the engine has fewer requests than this.
        budget: Ends the search early; trees that are not finished are given up.
        check: Says of a thought's points whether one is where it should look, for tasks whose data
            has no target boxes; None leaves it open.
        on_progress: Called after each poll.
    Raises:
        ConfigError: Greedy sampling, by which all children would be the same.
        EngineError: The engine died; the message says how far the search was.
    """
    if environment.temperature == 0:
        raise ConfigError("task.temperature=0: all children of a node would be the same thought")
    forest = _Forest(engine, environment, settings, run_seed, budget or Budget(), check)
    waiting = iter(tasks)
    has_more = True
    while True:
        while has_more and engine.num_in_flight < max_in_flight:
            task = next(waiting, None)
            has_more = task is not None
            if task is not None:
                forest.plant(task)
        if not engine.num_in_flight:
            return
        yield from forest.work()
        if on_progress is not None:
            on_progress(forest.stats)
        if forest.budget.is_used_up(forest.stats):
            forest.stats.is_cut = True
            engine.cancel(list(forest.flights))
            return


class _Forest:
    """The trees that grow at the moment."""

    def __init__(
        self,
        engine: Engine,
        environment: Environment,
        settings: SearchSettings,
        run_seed: int,
        budget: Budget,
        check: PointCheck | None,
    ) -> None:
        self.engine, self.environment, self.settings = engine, environment, settings
        self.run_seed, self.budget, self.check = run_seed, budget, check
        self.flights: dict[str, _Flight] = {}
        self.stats = ForestStats()
        self._started = time.perf_counter()

    def plant(self, task: TaskRecord) -> None:
        """Begin the tree of a task."""
        root = self.environment.start(task, group=f"search/{task.id}", index=0, seed=0)
        search = TreeSearch(self.settings, question=task.question)
        self._send_jobs(_Tree(task, search, {"": root}))

    def work(self) -> list[SearchTreeRecord]:
        """Let the engine work once; the trees that this finished."""
        self.stats.max_in_flight = max(self.stats.max_in_flight, len(self.flights))
        try:
            completions = self.engine.poll()
        except EngineError as error:
            raise EngineError(
                f"the search failed with {self.stats.num_trees} trees finished: {error}"
            ) from error
        finished: list[SearchTreeRecord] = []
        for completion in completions:
            flight = self.flights.pop(completion.request_id, None)
            if flight is None:
                raise EngineError(f"the engine answered {completion.request_id}, never asked")
            self.stats.num_requests += 1
            self.stats.num_tokens += len(completion.token_ids)
            flight.dialog.accept(completion)
            tree = flight.tree
            if self._goes_on(flight):
                self._send(flight)
                continue
            self._send_jobs(tree)
            if tree.search.is_done:
                finished.append(self._harvest(tree))
        self.stats.wall_s = time.perf_counter() - self._started
        return finished

    def _goes_on(self, flight: _Flight) -> bool:
        """Whether a rollout has a next turn; else its tree is told what the job brought."""
        dialog, job, tree = flight.dialog, flight.job, flight.tree
        turn = dialog.turns[-1]
        if job.kind is JobKind.THOUGHT:
            tree.dialogs[job.id] = dialog
            tree.search.tell(job.id, _thought(dialog, turn, self.check))
            return False
        flight.texts.append(turn.text)
        if not dialog.is_done:
            return True
        answer, texts = dialog.rollout().answer, tuple(flight.texts)
        tree.search.tell(job.id, SearchRollout(answer, _judge(dialog), texts))
        return False

    def _send_jobs(self, tree: _Tree) -> None:
        for job in tree.search.jobs():
            tree.num_forks += 1
            seed = derive_seed(self.run_seed, "search", tree.task.id, job.id)
            dialog = tree.dialogs[job.source].fork(index=tree.num_forks, seed=seed)
            self._send(_Flight(tree, job, dialog))

    def _send(self, flight: _Flight) -> None:
        request = flight.dialog.next_request()
        if request.id in self.flights:
            raise EngineError(f"two dialogs are called {request.id}: task ids must be unique")
        self.flights[request.id] = flight
        self.engine.submit(request)

    def _harvest(self, tree: _Tree) -> SearchTreeRecord:
        search, task, image = tree.search, tree.task, tree.dialogs[""].image
        self.stats.num_trees += 1
        self.stats.num_solved += search.solved_at is not None
        self.stats.num_repeats += search.num_repeats
        return SearchTreeRecord(
            id=task.id,
            question=task.question,
            answer=task.answer,
            image=image.path,
            root=search.tree(),
            system_prompt=self.environment.prompt.system,
            frame=image.size,
            solved_at=search.solved_at,
            num_simulations=search.num_simulations,
            more_images=task.images[1:],
            answer_kind=task.answer_kind,
            options=task.options,
            targets=task.targets,
            category=task.category,
        )


def _thought(dialog: Dialog, turn: Turn, check: PointCheck | None) -> Thought:
    """What the last turn of a dialog adds to the tree."""
    parsed, whole = turn.parsed, dialog.image
    points = parsed.points
    if turn.point is not None:
        points = (FrameMap(whole.original, whole.size).pixel(turn.point),)
    has_acted = parsed.answer is not None or turn.view is not None or dialog.is_step(turn)
    is_over = dialog.is_done and dialog.stop_reason in OUT_OF_TURNS
    return Thought(
        text=turn.text,
        points=points,
        answer=parsed.answer,
        reward=_judge(dialog) if dialog.is_done else None,
        is_readable=bool(parsed.think) and (has_acted or is_over) and not turn.tool_error,
        is_hit=_is_hit(dialog, turn, points, check),
    )


def _judge(dialog: Dialog) -> float:
    """By the reward function of the answer, the only judge of a path."""
    return score_answer(dialog.rollout().answer, dialog.task, view=dialog.image)


def _is_hit(
    dialog: Dialog, turn: Turn, points: Sequence[Point], check: PointCheck | None
) -> bool | None:
    """Whether the turn looked where it should: by the data's boxes, or by who is asked to check."""
    task, whole = dialog.task, dialog.image
    if not points:
        return None
    if not task.targets:
        return check(task, turn.text, points) if check else None
    if turn.view is not None:
        return is_zoom_hit(turn.view, task.targets)
    to_original = FrameMap(whole.size, whole.original)
    places = [to_original.point(point) for point in points]
    return any(box.contains(place) for box in task.targets for place in places)
