"""From search trees to traces to imitate: chains, written as turns, filtered, picked.

    SearchTreeRecord -> Chain* -> Draft* -> SolvedTrace* -> TraceRecord*
                     chains    here    filters        picking

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
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point, Size
from vigorl.core.media import ImageView, TextFrame
from vigorl.core.protocols import Looking
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.core.trace import (
    FINAL_THOUGHT,
    POINT_PATTERN,
    THINK,
    TOOL_CALL,
    TURN_AROUND,
    Step,
    ToolCall,
    Trace,
    parse_turn,
)
from vigorl.data.images import ImageStore
from vigorl.search.chains import (
    Chain,
    TreeForm,
    bare_thoughts,
    find_chains,
    split_answer,
    tree_form,
)
from vigorl.search.filters import Draft, FilterReport, FilterSettings, SolvedTrace, filter_drafts
from vigorl.search.picking import PickSettings, pick_traces

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"'”’)])\s+|\n+")
_AFTER_POINT = re.compile(r"[,;:]?")  # stays with the point when a sentence is cut behind it


class TraceForm(StrEnum):
    """How a trace is written."""

    SINGLE_TURN = "single_turn"  # one thought with all points inline, then the answer
    MULTI_TURN = "multi_turn"  # a look per point, then the answer


@dataclass(frozen=True, slots=True)
class LinearizeSettings:
    """How chains become turns.

    Attributes:
        form: A tree of whole turns gives MULTI_TURN only.
        max_looks: Looks made of a chain of bare thoughts at most; later points stay words. Chains
            of whole turns keep all of theirs (`FilterSettings.max_points` drops the long ones).
        move_first_frac: Share of dialogs made of bare thoughts, of those with two looks or more,
            whose first look is moved to a later place, drawn evenly. The released code's device to
            show looks out of order, with its 0.2; it breaks the thread of the thoughts, and 0 turns
            it off.
        seed: Of those draws.
    """

    form: TraceForm = TraceForm.MULTI_TURN
    max_looks: int = 5
    move_first_frac: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in list(TraceForm):
            raise ConfigError(f"form must be one of {[*map(str, TraceForm)]}, got {self.form!r}")
        if self.max_looks < 1:
            raise ConfigError(f"max_looks must be at least 1, got {self.max_looks}")
        if not 0 <= self.move_first_frac <= 1:
            raise ConfigError(
                f"move_first_frac is a share between 0 and 1, got {self.move_first_frac}"
            )


@dataclass(frozen=True, slots=True)
class SearchedTask:
    """A tree with what is needed to read it.

    Attributes:
        tree: What the search left.
        task: Its question (`data.sources.mcts_jsonl.tree_task` when only the tree is there).
        image: The whole picture as the teacher saw it.
    """

    tree: SearchTreeRecord
    task: TaskRecord
    image: ImageView

    @classmethod
    def of(cls, tree: SearchTreeRecord, task: TaskRecord, images: ImageStore) -> Self:
        """With the picture in the tree's own frame, whatever size this run shows pictures at."""
        whole = images.whole(tree.image, source=tree.source)
        return cls(
            tree, task, replace(whole, size=tree.frame or whole.original, frame=TextFrame.PIXELS)
        )


@dataclass(frozen=True, slots=True)
class Linearized:
    """The traces and how they came about.

    Attributes:
        records: Sorted by question.
        report: What the filters removed, over all trees.
        num_trees: Trees that went in.
        num_solved: Trees that gave at least one trace to pick from.
        num_corrected: Corrected chains among `records`.
    """

    records: tuple[TraceRecord, ...]
    report: FilterReport
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
    measure: Callable[[str], int] = len,
) -> Linearized:
    """Every tree's chains, filtered and picked; the same for any order of the trees.

    Args:
        searched: The trees.
        tool: What a look calls; MULTI_TURN needs it.
        settings: How chains become turns.
        filters: What is fit to learn from.
        picking: How many per tree, and of which kind.
        measure: Length of a text, for `filters.max_length`.
    Raises:
        ConfigError: See `draft_chains`.
    """
    solved: list[SolvedTrace] = []
    report = FilterReport(0, {})
    num_trees = num_solved = 0
    for one in searched:
        drafts = draft_chains(one, tool=tool, settings=settings)
        kept, part = filter_drafts(
            drafts, one.task, image=one.image, tool=tool, settings=filters, measure=measure
        )
        solved += kept
        report += part
        num_trees += 1
        num_solved += bool(kept)
    picked = pick_traces(solved, settings=picking)
    return Linearized(
        records=tuple(trace.record for trace in picked),
        report=report,
        num_trees=num_trees,
        num_solved=num_solved,
        num_corrected=sum(trace.is_corrected for trace in picked),
    )


def draft_chains(
    searched: SearchedTask,
    *,
    tool: Looking | None = None,
    settings: LinearizeSettings | None = None,
) -> list[Draft]:
    """Every chain of a tree as assistant turns, right by the teacher's judge and not yet filtered.

    Raises:
        ConfigError: MULTI_TURN without a tool, or SINGLE_TURN from a tree of whole turns.
    """
    settings = settings or LinearizeSettings()
    form = tree_form(searched.tree)
    if settings.form == TraceForm.MULTI_TURN and tool is None:
        raise ConfigError("tool is null, but form=multi_turn needs the tool that its looks call")
    if settings.form == TraceForm.SINGLE_TURN and form is TreeForm.TURNS:
        raise ConfigError(
            f"form=single_turn, but the tree of {searched.tree.id} calls tools: "
            "its thoughts tell what crops showed; use form=multi_turn"
        )
    chains = find_chains(searched.tree, searched.task, image=searched.image)
    if form is TreeForm.TURNS:
        return [draft for chain in chains for draft in _drafts_of_turns(chain)]
    drafts: list[Draft] = []
    for chain in chains:
        thoughts, answer = _tell(chain)
        if not thoughts:
            continue
        if settings.form == TraceForm.SINGLE_TURN or tool is None:
            trace = Trace((Step(" ".join(thoughts)),), answer)
        else:
            trace = _dialog(thoughts, answer, searched=searched, tool=tool, settings=settings)
        told = (i for i, step in enumerate(trace.steps) if TURN_AROUND in step.think)
        drafts.append(Draft(tuple(trace.turns()), next(told) if chain.wrong else None))
    return drafts


def split_looks(
    thoughts: Iterable[str], *, on: Size, max_looks: int
) -> tuple[list[tuple[str, Point]], str]:
    """Thoughts as looks, each with the text up to it, and the text after the last.

    A look's text ends with the sentence that holds its point; of several new points in a sentence,
    all but the last cut it behind themselves. A point that was looked at before only adds text. A
    point off the picture is never a look (the filter drops the chain for it).

    >>> split_looks(["A disc at (5, 2). Red. So red."], on=Size(9, 9), max_looks=5)
    ([('A disc at (5, 2).', Point(x=5, y=2))], 'Red. So red.')
    """
    looks: list[tuple[str, Point]] = []
    pending: list[str] = []
    seen: set[Point] = set()
    for sentence in _sentences(thoughts):
        fresh: list[tuple[int, Point]] = []  # where it may be cut, and the point before the cut
        for match in POINT_PATTERN.finditer(sentence):
            point = Point(int(match[1]), int(match[2]))
            if point in seen or not point.is_inside(on) or len(looks) + len(fresh) == max_looks:
                continue
            seen.add(point)
            cut = _AFTER_POINT.match(sentence, match.end())
            fresh.append((cut.end() if cut else match.end(), point))
        begin = 0
        for index, (cut, point) in enumerate(fresh):
            end = cut if index < len(fresh) - 1 else len(sentence)
            looks.append((" ".join([*pending, sentence[begin:end].strip()]), point))
            pending, begin = [], end
        if begin < len(sentence):
            pending.append(sentence)
    return looks, " ".join(pending)


def _tell(chain: Chain) -> tuple[list[str], str]:
    """A chain of bare thoughts in order, and its answer; no thoughts when nothing is to be told.

    A corrected chain needs something said before the turn-around and something after it. Its wrong
    try came to an answer: one that a limit cut off may stop within a word.
    """
    path = (*chain.shared, *chain.right)
    if any(TOOL_CALL in text for text in (*path, *chain.wrong)):
        return [], ""  # a stray call among thoughts: what it would have shown is not there
    stated = split_answer(path[-1])[1] if path else None
    answer = chain.answer if chain.answer is not None else stated or ""
    if not chain.wrong:
        return bare_thoughts(path, answer), answer
    if chain.wrong_answer is None and split_answer(chain.wrong[-1])[1] is None:
        return [], answer
    wrong = bare_thoughts(chain.wrong, chain.wrong_answer)
    right = bare_thoughts(chain.right, answer)
    if not wrong or not right:
        return [], answer
    return [*bare_thoughts(chain.shared, None), *wrong, TURN_AROUND, *right], answer


def _drafts_of_turns(chain: Chain) -> Iterator[Draft]:
    """A chain of whole turns; of the wrong try what comes before its answer.

    The filters see to it that a corrected one looks again after it has turned around, and that the
    place it turns away from was wrong.
    """
    if not chain.wrong:
        yield Draft((*chain.shared, *chain.right))
        return
    wrong = [turn for turn in chain.wrong if parse_turn(turn).answer is None]
    if wrong and chain.right:
        first, *rest = chain.right
        first = first.replace(THINK, f"{THINK} {TURN_AROUND}", 1)
        turned_at = len(chain.shared) + len(wrong)
        yield Draft((*chain.shared, *wrong, first, *rest), turned_at)


def _dialog(
    thoughts: Sequence[str],
    answer: str,
    *,
    searched: SearchedTask,
    tool: Looking,
    settings: LinearizeSettings,
) -> Trace:
    """Bare thoughts as looks and an answer."""
    image = searched.image
    looks, rest = split_looks(thoughts, on=image.text_size, max_looks=settings.max_looks)
    # Its own generator per chain: the draw depends on nothing but the chain.
    rng = random.Random(f"{settings.seed}:{searched.task.id}:{thoughts}")
    if len(looks) > 1 and rng.random() < settings.move_first_frac:
        looks.insert(rng.randrange(1, len(looks)), looks.pop(0))
    steps = [
        Step(text, ToolCall(tool.name, tool.arguments_at(image.to_original(point), image=image)))
        for text, point in looks
    ]
    return Trace((*steps, Step(rest or FINAL_THOUGHT)), answer)


def _sentences(thoughts: Iterable[str]) -> Iterator[str]:
    for thought in thoughts:
        yield from (part.strip() for part in _SENTENCE_END.split(thought) if part.strip())
