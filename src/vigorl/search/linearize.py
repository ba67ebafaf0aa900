"""From search trees to traces to imitate: chains, written as turns, filtered, picked.

    SearchTreeRecord -> Chain* -> Draft* -> SolvedTrace* -> TraceRecord*
                     chains    here    filters        picking

Texts are parsed where chains are found, and rendered where the traces are written; in between there
are parsed turns and `core.trace.Trace`.

From a tree of bare thoughts comes either one turn with all points inline, or a dialog: text gathers
up to the end of the sentence that holds a point, and every new point becomes a look. A tree of
whole turns is a dialog already.

Observations are not stored and no crop is written: `TraceRecord.frame` says what the coordinates
mean, and the crops are cut again when the trace is encoded (the released files hold 88 GB of them).
Other than in the released `build_reasoning_chains_from_mcts_multiturn.py`, what is said after the
last look stays, as the thought that ends in the answer, and an answer "(x, y)" is no further look.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import overload

from cachetools import LRUCache

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point
from vigorl.core.media import ImageView
from vigorl.core.protocols import Looking
from vigorl.core.records import TraceRecord
from vigorl.core.scoring.text import normalize_answer
from vigorl.core.trace import (
    FINAL_THOUGHT,
    TURN_AROUND,
    ParsedTurn,
    Step,
    ToolCall,
    Trace,
    TurnProblem,
    has_tag,
    join_turns,
    parse_thought,
)
from vigorl.search.chains import Chain, TreeForm, find_chains, tree_form
from vigorl.search.filters import (
    Draft,
    FilterSettings,
    Removal,
    SolvedTrace,
    filter_drafts,
    seen_by,
)
from vigorl.search.looks import Sentence, split_looks, split_sentences
from vigorl.search.picking import PickSettings, content, pick_places
from vigorl.search.rounds import tell_in_rounds
from vigorl.search.searched import SearchedTask, SearchedTrees

KEPT_TRACES = 50_000  # of a search in memory, about 100 MB


class TraceForm(StrEnum):
    """How a trace is written."""

    SINGLE_TURN = "single_turn"  # one thought with all points inline, then the answer
    MULTI_TURN = "multi_turn"  # a look per point, then the answer
    ROUNDS = "rounds"  # such a dialog, filtered as one, told in one turn: `search.rounds`


@dataclass(frozen=True, slots=True)
class LinearizeSettings:
    """How chains become turns.

    Attributes:
        form: A tree of whole turns gives no SINGLE_TURN.
        max_looks: Looks made of a chain of bare thoughts at most; later points stay words. Chains
            of whole turns keep all of theirs (`FilterSettings.max_points` drops the long ones).
        move_first_frac: Share of dialogs made of bare thoughts, of those with two looks or more,
            whose first look is moved to a later place, drawn evenly. The released code's device to
            show looks out of order, with its 0.2; it breaks the thread of the thoughts, and 0 turns
            it off.
        seed: Seed of those draws.
        depth_root: Of ROUNDS: a folder of depth maps (`search.rounds.tell_in_rounds`).
    """

    form: TraceForm = TraceForm.MULTI_TURN
    max_looks: int = 5
    move_first_frac: float = 0.2
    seed: int = 0
    depth_root: str | None = None

    def __post_init__(self) -> None:
        if self.form not in list(TraceForm):
            raise ConfigError(f"form must be one of {[*map(str, TraceForm)]}, got {self.form!r}")
        if self.depth_root is not None and self.form != TraceForm.ROUNDS:
            raise ConfigError(
                f"chains.settings.depth_root has no effect with form={self.form}: take form=rounds"
            )
        if self.max_looks < 1:
            raise ConfigError(f"max_looks must be at least 1, got {self.max_looks}")
        if not 0 <= self.move_first_frac <= 1:
            raise ConfigError(
                f"move_first_frac is a share between 0 and 1, got {self.move_first_frac}"
            )


@dataclass(frozen=True, slots=True)
class Linearized:
    """The traces and how they came about.

    Attributes:
        records: Sorted by question; where trees gave more than `KEPT_TRACES`, each is made of its
            tree again when it is asked for.
        num_drafts: Chains that went into the filters, over all trees.
        removed: How many of them each rule removed.
        num_trees: Trees that went in.
        num_solved: Trees that gave at least one trace to pick from.
        num_corrected: Corrected chains among `records`.
    """

    records: Sequence[TraceRecord]
    num_drafts: int
    removed: Mapping[Removal, int]
    num_trees: int
    num_solved: int
    num_corrected: int


def linearize_trees(
    searched: Iterable[SearchedTask],
    *,
    tool: Looking | None = None,
    settings: LinearizeSettings | None = None,
    filters: FilterSettings | None = None,
    picking: PickSettings | None = None,
) -> Linearized:
    """Every tree's chains, filtered and picked; the same for any order of the trees.

    Args:
        searched: The trees.
        tool: What a look calls; MULTI_TURN needs it.
        settings: How chains become turns.
        filters: What is fit to learn from.
        picking: How many per tree, and of which kind.
    Raises:
        ConfigError: See `draft_chains`.
    """
    searched = searched if isinstance(searched, Sequence) else list(searched)
    solved = _SolvedTraces(searched, tool=tool, settings=settings, filters=filters)
    kinds = solved.read_all()
    places = pick_places(kinds, settings=picking)
    picked = [(task_id, place) for task_id in kinds for place in places[task_id]]
    records = _PickedTraces(solved, picked)
    return Linearized(
        records=tuple(records) if solved.are_kept else records,
        num_drafts=solved.num_drafts,
        removed=solved.removed,
        num_trees=len(searched),
        num_solved=solved.num_solved,
        num_corrected=sum(kinds[task_id][place] for task_id, place in picked),
    )


class _SolvedTraces:
    """The traces that pass, by question; those of the questions asked for last are kept.

    Attributes:
        removed, num_drafts, num_solved: As in `Linearized`, after `read_all`.
        are_kept: Whether all of them are.
    """

    def __init__(
        self,
        searched: Sequence[SearchedTask],
        *,
        tool: Looking | None,
        settings: LinearizeSettings | None,
        filters: FilterSettings | None,
    ) -> None:
        self._searched, self._tool = searched, tool
        self._settings, self._filters = settings, filters
        self._places: defaultdict[str, list[int]] = defaultdict(list)  # of a question's trees
        is_lazy = isinstance(searched, SearchedTrees)
        ids = searched.ids if is_lazy else [one.task.id for one in searched]
        for place, task_id in enumerate(ids):
            self._places[task_id].append(place)
        self._kept: LRUCache[str, list[SolvedTrace]] = LRUCache(KEPT_TRACES, getsizeof=len)
        self.removed: Counter[Removal] = Counter()
        self.num_drafts = self.num_solved = 0
        self.are_kept = True

    def read_all(self) -> dict[str, list[bool]]:
        """Whether each trace is a corrected one, by question in the order of their ids; a question
        without a trace is left out.
        """
        found: dict[str, list[bool]] = {}
        num_traces = 0
        for task_id in self._places:  # in the order of the trees, in which removals are told
            traces: list[SolvedTrace] = []
            for place in self._places[task_id]:
                kept, gone, num_drafts = self._of_tree(self._searched[place])
                traces += kept
                self.removed += +gone
                self.num_drafts += num_drafts
                self.num_solved += bool(kept)
            if traces:
                found[task_id] = [one.is_corrected for one in self._keep(task_id, traces)]
            num_traces += len(traces)
        self.are_kept = num_traces <= KEPT_TRACES
        return {task_id: found[task_id] for task_id in sorted(found)}

    def of(self, task_id: str) -> list[SolvedTrace]:
        """In the order of `picking.content`."""
        if (kept := self._kept.get(task_id)) is not None:
            return kept
        trees = (self._searched[place] for place in self._places[task_id])
        return self._keep(task_id, [trace for one in trees for trace in self._of_tree(one)[0]])

    def _keep(self, task_id: str, traces: list[SolvedTrace]) -> list[SolvedTrace]:
        traces.sort(key=content)
        if len(traces) <= self._kept.maxsize:
            self._kept[task_id] = traces
        return traces

    def _of_tree(self, one: SearchedTask) -> tuple[list[SolvedTrace], Counter[Removal], int]:
        """Those that pass, how many each rule removed, and the number of drafts."""
        tool, settings = self._tool, self._settings
        drafts = draft_chains(one, tool=tool, settings=settings)
        kept, gone = filter_drafts(
            drafts, one.task, image=one.image, tool=tool, settings=self._filters
        )
        if settings is not None and settings.form == TraceForm.ROUNDS and tool is not None:
            told = [_in_rounds(trace, one, tool=tool, settings=settings) for trace in kept]
            kept = [trace for trace in told if trace is not None]
            gone[Removal.NO_REGION] += told.count(None)
        return kept, gone, len(drafts)


class _PickedTraces(Sequence[TraceRecord]):
    """Some of the traces that pass: (question, which of its traces) of each."""

    def __init__(self, solved: _SolvedTraces, picked: Sequence[tuple[str, int]]) -> None:
        self._solved, self._picked = solved, picked

    def __len__(self) -> int:
        return len(self._picked)

    @overload
    def __getitem__(self, index: int) -> TraceRecord: ...
    @overload
    def __getitem__(self, index: slice) -> _PickedTraces: ...
    def __getitem__(self, index: int | slice) -> TraceRecord | _PickedTraces:
        if isinstance(index, slice):
            return _PickedTraces(self._solved, self._picked[index])
        task_id, place = self._picked[index]
        return self._solved.of(task_id)[place].record


def _in_rounds(
    solved: SolvedTrace, searched: SearchedTask, *, tool: Looking, settings: LinearizeSettings
) -> SolvedTrace | None:
    trace, image = solved.record.trace, searched.image
    views = seen_by(trace, searched.task, image=image, tool=tool)
    record = tell_in_rounds(solved.record, views, image=image, depth_root=settings.depth_root)
    return None if record is None else replace(solved, record=record)


def draft_chains(
    searched: SearchedTask,
    *,
    tool: Looking | None = None,
    settings: LinearizeSettings | None = None,
) -> list[Draft]:
    """Every chain of a tree as a trace, right by the teacher's judge and not yet filtered.

    Raises:
        ConfigError: MULTI_TURN without a tool, or SINGLE_TURN from a tree of whole turns.
    """
    settings = settings or LinearizeSettings()
    tree, form = searched.tree, tree_form(searched.tree)
    if settings.form != TraceForm.SINGLE_TURN and tool is None:
        raise ConfigError(
            f"tool is null, but form={settings.form} needs the tool that its looks call"
        )
    if settings.form == TraceForm.SINGLE_TURN and form is TreeForm.TURNS:
        raise ConfigError(
            f"form=single_turn, but the tree of {tree.id} calls tools: "
            "its thoughts tell what crops showed; use form=multi_turn"
        )
    chains = find_chains(tree, searched.task, image=searched.image, form=form)
    if form is TreeForm.TURNS:
        drafts = map(_draft_of_turns, chains)
    else:
        split = cache(split_sentences)  # a thought is part of many chains
        drafts = (
            _draft_of_thoughts(told, searched=searched, tool=tool, settings=settings, split=split)
            for told in map(_tell, chains)
            if told is not None
        )
    return [draft for draft in drafts if draft is not None]


def _draft_of_turns(found: Chain) -> Draft | None:
    """A chain of whole turns; of the wrong try what comes before its answer.

    The filters see to it that a corrected one looks again after it has turned around, and that the
    place it turns away from was wrong.
    """
    turns, turned_at = (*found.shared, *found.right), None
    if found.wrong:
        wrong = [turn for turn in found.wrong if turn.answer is None]
        if not wrong or not found.right:
            return None
        first, *rest = found.right
        first = replace(first, think=f"{TURN_AROUND} {first.think}".strip())
        turned_at = len(found.shared) + len(wrong)
        turns = (*found.shared, *wrong, first, *rest)
    try:
        trace = join_turns(turns)
    except ValueError:
        trace = None
    return Draft(trace, _points(turns), turned_at)


@dataclass(frozen=True, slots=True)
class _Told:
    """A chain of bare thoughts in the order in which it is told, and its answer.

    Attributes:
        thoughts: With the turn-around of a corrected chain among them.
        turned_at: Its index; None of a direct chain.
        answer: The answer.
    """

    thoughts: Sequence[ParsedTurn]
    turned_at: int | None
    answer: str


def _tell(found: Chain) -> _Told | None:
    """A chain of bare thoughts; None when there is nothing to be told.

    A corrected chain needs something said before the turn-around and something after it. Its wrong
    try came to an answer: one that a limit cut off may stop within a word.
    """
    path = (*found.shared, *found.right)
    if any(turn.problem is TurnProblem.BAD_CALL for turn in (*path, *found.wrong)):
        return None
    stated = path[-1].answer if path else None
    answer = found.answer if found.answer is not None else stated or ""
    if not found.wrong:
        thoughts = _thoughts(path, answer)
        return _Told(thoughts, None, answer) if thoughts else None
    if found.wrong_answer is None and found.wrong[-1].answer is None:
        return None
    wrong, right = _thoughts(found.wrong, found.wrong_answer), _thoughts(found.right, answer)
    if not wrong or not right:
        return None
    before = [*_thoughts(found.shared, None), *wrong]
    return _Told([*before, parse_thought(TURN_AROUND), *right], len(before), answer)


def _thoughts(turns: Sequence[ParsedTurn], answer: str | None) -> list[ParsedTurn]:
    """Those of a path that say something besides the answer.

    A last one that says the answer and nothing else is the answer: without tags that is how the
    released trees write it, and its coordinate is no place that the thought speaks of.
    """
    last = turns[-1] if turns and turns[-1].answer is None else None
    if last and answer is not None and normalize_answer(last.think) == normalize_answer(answer):
        turns = turns[:-1]
    return [turn for turn in turns if turn.think]


def _draft_of_thoughts(
    told: _Told,
    *,
    searched: SearchedTask,
    tool: Looking | None,
    settings: LinearizeSettings,
    split: Callable[[str], tuple[Sentence, ...]],
) -> Draft:
    """Bare thoughts as one thought, or as looks and a last thought; then the answer.

    It has no trace where what is told holds a tag, for then it could not be read back.
    """
    thoughts, turned_at = [turn.think for turn in told.thoughts], told.turned_at
    if settings.form == TraceForm.SINGLE_TURN or tool is None:
        steps, turned_at = [Step(" ".join(thoughts))], None if turned_at is None else 0
    else:
        image, limits = searched.image, (searched.image.text_size, settings.max_looks)
        looks, rest = split_looks(chain.from_iterable(map(split, thoughts)), *limits)
        steps = [_look(text, point, image=image, tool=tool) for text, point in looks]
        steps.append(Step(rest or FINAL_THOUGHT))
        if turned_at is not None:
            before = chain.from_iterable(map(split, thoughts[:turned_at]))
            turned_at = len(split_looks(before, *limits)[0])
        # Its own generator per chain: the draw depends on nothing but the chain.
        rng = random.Random(f"{settings.seed}:{searched.task.id}:{thoughts}")
        if len(looks) > 1 and rng.random() < settings.move_first_frac:
            order = [*range(1, len(steps))]
            order.insert(rng.randrange(1, len(looks)), 0)
            steps = [steps[index] for index in order]
            turned_at = None if turned_at is None else order.index(turned_at)
    answer = told.answer.strip()
    has_problem = has_tag(answer) or any(turn.problem for turn in told.thoughts)
    trace = Trace(tuple(steps), answer) if answer and not has_problem else None
    return Draft(trace, _points(told.thoughts), turned_at)


def _look(text: str, point: Point, *, image: ImageView, tool: Looking) -> Step:
    arguments = tool.arguments_at(image.to_original(point), image=image)
    return Step(text, ToolCall(tool.name, arguments))


def _points(turns: Sequence[ParsedTurn]) -> tuple[Point, ...]:
    return tuple(point for turn in turns for point in turn.points)
