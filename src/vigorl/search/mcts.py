"""Monte Carlo tree search over grounded thoughts: the tree of one question, without an engine.

    search = TreeSearch(SearchSettings(), question="How do the stripes run?")
    while not search.is_done:
        for job in search.jobs():           # whatever can run now, all of it at once
            ...                             # somebody generates; answers may come in any order
            search.tell(job.id, thought)    # or a SearchRollout, as the job asks
    tree = search.tree()

One simulation: go down by UCB to a node with room, ask for `num_children` next thoughts, roll each
kept child out `num_rollouts` times to an answer, and add the outcomes to every node above it.
Outcomes are taken into the tree in the order of the jobs, never of their arrival, so a tree is a
function of its settings and of what was generated.

Unlike the released search: a thought that repeats a point, or cannot be read, is asked for again;
points are compared as numbers; a subtree in which nothing is left to learn is not gone into again.
Source: Sarch et al. 2025, section 4.1 and table A4; released `tree_search/mcts_search.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point
from vigorl.core.search_tree import SearchNode, SearchRollout


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How far and how wide; defaults of the paper's table A4.

    Attributes:
        num_simulations: Expansions of a tree (released script: 8).
        num_children: Thoughts asked for at each; 0 grows no tree: each simulation rolls the
            question itself out, the single tries that a search is compared with.
        num_rollouts: From each new child to an answer.
        exploration: c of value + c sqrt(ln(visits of parent + 1) / (visits + 1)).
        num_retries: Further tries for a thought that repeats a point or cannot be read (released:
            0, it is dropped).
        near_px: Points this close, on both axes, are the same (released: equal as text).
        solved_after: A subtree of at least so many rollouts, all of them right, is not gone into
            again; 0 goes on (as released).
        hopeless_after: The same for one whose rollouts are all wrong.
        until_right: The search ends with the simulation that finds the first right answer: how
            long it took tells how hard the question is (`search.keeping.search_effort`).
    """

    num_simulations: int = 20
    num_children: int = 3
    num_rollouts: int = 2
    exploration: float = 2.0
    num_retries: int = 2
    near_px: float = 0.0
    solved_after: int = 8
    hopeless_after: int = 32
    until_right: bool = False

    def __post_init__(self) -> None:
        for field_ in fields(self):
            least = 1 if field_.name in ("num_simulations", "num_rollouts") else 0
            if getattr(self, field_.name) < least:
                raise ConfigError(
                    f"search.{field_.name} must be at least {least}, "
                    f"got {getattr(self, field_.name)}"
                )


class JobKind(StrEnum):
    """What a job asks for."""

    THOUGHT = "thought"  # one next thought: a `Thought`
    ROLLOUT = "rollout"  # thoughts to an answer: a `SearchRollout`


@dataclass(frozen=True, slots=True)
class Job:
    """Something to generate.

    Attributes:
        id: Unique in the tree, and the same whenever the tree grows the same way.
        kind: What is asked for.
        source: The job whose thought it goes on from; "" is the question.
    """

    id: str
    kind: JobKind
    source: str


@dataclass(frozen=True, slots=True)
class Thought:
    """One generated thought.

    Attributes:
        text: As generated.
        points: That it speaks of; a thought without any is not grounded.
        answer: Its final answer, where it is the end of its path.
        reward: Of that end, 1.0 for right; None where the path can go on.
        is_readable: It follows the grammar.
        is_hit: Whether a point of it lies in a target; None: unknown. Only passed on: what is
            explored depends on outcomes alone.
    """

    text: str
    points: tuple[Point, ...] = ()
    answer: str | None = None
    reward: float | None = None
    is_readable: bool = True
    is_hit: bool | None = None

    @property
    def is_terminal(self) -> bool:
        return self.reward is not None


@dataclass(slots=True)
class _Node:
    number: int
    job: str  # that brought the thought
    thought: Thought
    parent: _Node | None
    used: tuple[Point, ...]
    children: list[_Node] = field(default_factory=list)
    rollouts: list[SearchRollout] = field(default_factory=list)
    num_visits: int = 0
    value: float = 0.0
    num_right: int = 0  # of its visits: each is a rollout in the subtree
    is_expanded: bool = False

    def path(self) -> Iterator[_Node]:
        """This node, its parent, ... the root."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent


@dataclass(slots=True)
class _Slot:
    """One child that was asked for; closed once it is kept or given up."""

    attempt: int = 0
    job: str = ""
    thought: Thought | None = None
    is_closed: bool = False


class TreeSearch:
    """Grows the tree of one question.

    Args:
        settings: How far and how wide.
        question: Text of the root.
    Attributes:
        num_repeats: Thoughts that repeated a point or could not be read.
        solved_at: Simulation, from 1, that found the first right answer; None so far.
    """

    def __init__(self, settings: SearchSettings, *, question: str) -> None:
        self.settings = settings
        self._nodes = [_Node(0, "", Thought(question), None, ())]
        self._ready: list[Job] = []
        self._asked: dict[str, Job] = {}
        self._simulation = 0
        self._leaf: _Node = self._nodes[0]
        self._slots: list[_Slot] = []
        # of the nodes that this simulation rolls out, by the job that brought the node
        self._outcomes: dict[str, list[SearchRollout | None]] = {}
        self.num_repeats = 0
        self.solved_at: int | None = None
        self._begin()

    @property
    def is_done(self) -> bool:
        return not self._ready and not self._asked

    @property
    def num_simulations(self) -> int:
        """Those that are over."""
        return self._simulation if self.is_done else self._simulation - 1

    def jobs(self) -> list[Job]:
        """What can be generated now, and was not handed out before."""
        ready, self._ready = self._ready, []
        self._asked |= {job.id: job for job in ready}
        return ready

    def tell(self, job_id: str, found: Thought | SearchRollout) -> None:
        """What a job brought.

        Raises:
            KeyError: Nobody asked for it.
            TypeError: It asked for the other kind.
        """
        job = self._asked.pop(job_id)
        if (job.kind is JobKind.THOUGHT) != isinstance(found, Thought):
            raise TypeError(f"job {job_id} asked for a {job.kind}, not for {found}")
        if isinstance(found, Thought):
            (slot,) = (slot for slot in self._slots if slot.job == job_id)
            slot.thought = found
            self._fill_slots()
        else:
            outcomes = self._outcomes[job.source]
            outcomes[int(job_id.rpartition("r")[2]) % len(outcomes)] = found
        self._end_if_complete()

    def tree(self) -> SearchNode:
        """The tree after `num_simulations`, children in the order in which they were asked for."""
        return _frozen(self._nodes[0])

    # ---- one simulation --------------------------------------------------------------------------

    def _begin(self) -> None:
        """Go down to a node that can be expanded and ask for its children."""
        root = self._nodes[0]
        if self._simulation >= self.settings.num_simulations or self._is_exhausted(root):
            return
        if self.settings.until_right and self.solved_at is not None:
            return
        node = root
        while node.is_expanded:
            open_children = [child for child in node.children if not self._is_exhausted(child)]
            node = max(open_children, key=lambda child: self._score(child, node))
        self._simulation += 1
        self._leaf, self._outcomes = node, {}
        self._slots = [_Slot() for _ in range(self.settings.num_children)]
        if not self._slots:
            self._roll_out(node)
            return
        node.is_expanded = True
        for number in range(len(self._slots)):
            self._ask(number)

    def _fill_slots(self) -> None:
        """Keep, ask again or give up, in the order of the slots."""
        for number, slot in enumerate(self._slots):
            if slot.is_closed:
                continue
            if slot.thought is None:
                return
            if self._is_new(slot.thought):
                slot.is_closed = True
                self._keep(slot.thought, job=slot.job)
            elif slot.attempt < self.settings.num_retries:
                self.num_repeats += 1
                slot.attempt, slot.thought = slot.attempt + 1, None
                self._ask(number)
                return
            else:
                self.num_repeats += 1
                slot.is_closed = True

    def _keep(self, thought: Thought, *, job: str) -> None:
        leaf = self._leaf
        node = _Node(len(self._nodes), job, thought, leaf, (*leaf.used, *thought.points))
        self._nodes.append(node)
        leaf.children.append(node)
        if thought.reward is None:
            self._roll_out(node)
        else:
            self._outcomes[job] = [SearchRollout(thought.answer, thought.reward, ())]

    def _roll_out(self, node: _Node) -> None:
        numbers = range(len(node.rollouts), len(node.rollouts) + self.settings.num_rollouts)
        self._outcomes[node.job] = [None] * len(numbers)
        self._ready += [Job(f"n{node.number}r{i}", JobKind.ROLLOUT, node.job) for i in numbers]

    def _end_if_complete(self) -> None:
        if self._ready or self._asked:
            return
        for node in (self._leaf, *self._leaf.children):
            for outcome in self._outcomes.get(node.job, ()):
                assert outcome is not None
                self._add(node, outcome)
        self._begin()

    def _add(self, node: _Node, outcome: SearchRollout) -> None:
        node.rollouts.append(outcome)
        if outcome.is_right and self.solved_at is None:
            self.solved_at = self._simulation
        for one in node.path():
            one.num_visits += 1
            one.value += (outcome.reward - one.value) / one.num_visits
            one.num_right += outcome.is_right

    # ---- judgements ------------------------------------------------------------------------------

    def _score(self, child: _Node, parent: _Node) -> float:
        """UCB, as the paper and the released code have it: visits count one more than there are."""
        spread = math.log(parent.num_visits + 1) / (child.num_visits + 1)
        return child.value + self.settings.exploration * math.sqrt(spread)

    def _is_exhausted(self, node: _Node) -> bool:
        """Nothing is left to learn below it."""
        if not self.settings.num_children:
            return False  # every single try is made
        if node.thought.is_terminal:
            return True
        for least, all_alike in (
            (self.settings.solved_after, node.num_right == node.num_visits),
            (self.settings.hopeless_after, node.num_right == 0),
        ):
            if least and node.num_visits >= least and all_alike:
                return True
        return node.is_expanded and all(self._is_exhausted(child) for child in node.children)

    def _is_new(self, thought: Thought) -> bool:
        """Readable, and speaks of a place that neither its path nor a sibling has spoken of; an
        answer need not speak of any.
        """
        if not thought.is_readable:
            return False
        if thought.is_terminal:
            return True
        taken = [
            *self._leaf.used,
            *(p for child in self._leaf.children for p in child.thought.points),
        ]
        return any(not self._is_taken(point, taken) for point in thought.points)

    def _is_taken(self, point: Point, taken: list[Point]) -> bool:
        near = self.settings.near_px
        return any(abs(point.x - t.x) <= near and abs(point.y - t.y) <= near for t in taken)

    def _ask(self, number: int) -> None:
        """For the thought of a slot."""
        slot, leaf = self._slots[number], self._leaf
        slot.job = f"n{leaf.number}c{number}.{slot.attempt}"
        self._ready.append(Job(slot.job, JobKind.THOUGHT, leaf.job))


def _frozen(node: _Node) -> SearchNode:
    thought = node.thought
    return SearchNode(
        text=thought.text,
        is_terminal=thought.is_terminal,
        value=node.value,
        num_visits=node.num_visits,
        rollouts=tuple(node.rollouts),
        children=tuple(_frozen(child) for child in node.children if child.num_visits),
        used_points=node.used,
        is_hit=thought.is_hit,
    )
