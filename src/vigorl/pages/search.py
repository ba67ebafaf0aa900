"""One HTML page of a search to look at: its numbers, its charts, and some of its trees.

    page = render_search_page(trees, tasks, images=store, title="search", chains=chains)

Left out on purpose: sorting and filtering; the file of the search has every tree as data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scipy.stats import binomtest

from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_metrics import numbered_nodes, search_metrics
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.core.trace import find_points
from vigorl.data.images import ImageStore
from vigorl.pages.charts import Chart, histogram, solved_chart, solved_shares
from vigorl.pages.html import Album, render
from vigorl.pages.search_tree import MIDDLE, tree_view

_TILES = {  # beside the share of solved trees
    "search/solved_at_mean": "solved at, on average",
    "search/nodes_mean": "thoughts per tree",
    "search/depth_mean": "deepest thought",
    "search/right_frac": "rollouts right",
    "search/mixed_frac": "trees with right and wrong",
    "search/hit_frac": "looks that hit a target",
    "search/judged_hit_frac": "looks that hit, by the judge",
}


def pick_trees(trees: Sequence[SearchTreeRecord], num: int) -> list[SearchTreeRecord]:
    """The trees worth a look: by turns one solved late, one unsolved, one solved at once.

    Args:
        trees: Any.
        num: Trees at most; a kind that has run out is made up for by the others.
    Returns:
        Those solved late first, the latest before all; then the unsolved; then those solved by the
        first simulation, and those that did not note when. Ties go to the earlier tree.
    """
    return [trees[index] for index in _pick([_brief(tree) for tree in trees], num)]


class _Brief(NamedTuple):
    """What the charts and the choice need of a tree; a search may have more than memory holds."""

    is_solved: bool
    solved_at: int | None
    num_simulations: int | None


def _brief(tree: SearchTreeRecord) -> _Brief:
    return _Brief(tree.is_solved, tree.solved_at, tree.num_simulations)


def _pick(trees: Sequence[_Brief], num: int) -> list[int]:
    """See `pick_trees`."""
    late = [i for i, tree in enumerate(trees) if tree.is_solved and (tree.solved_at or 0) > 1]
    late.sort(key=lambda i: -(trees[i].solved_at or 0))
    unsolved = [i for i, tree in enumerate(trees) if not tree.is_solved]
    at_once = [i for i, tree in enumerate(trees) if tree.is_solved and (tree.solved_at or 0) <= 1]
    kinds, taken = (late, unsolved, at_once), [0, 0, 0]
    while sum(taken) < min(num, len(trees)):
        open_kinds = [i for i, kind in enumerate(kinds) if taken[i] < len(kind)]
        taken[min(open_kinds, key=lambda i: (taken[i], i))] += 1
    return [index for kind, count in zip(kinds, taken, strict=True) for index in kind[:count]]


@dataclass(frozen=True, slots=True)
class ChainCounts:
    """What charts tell of chains.

    Attributes:
        points: In the thoughts of each.
        turns: Of each.
    """

    points: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    def add(self, chain: TraceRecord) -> None:
        steps = chain.trace.steps
        self.points.append(sum(len(find_points(step.think)) for step in steps))
        self.turns.append(len(steps))

    def over(self, chains: Iterable[TraceRecord]) -> Iterator[TraceRecord]:
        """Count them while somebody else reads them, for each may be made anew each time."""
        for chain in chains:
            self.add(chain)
            yield chain


def render_search_page(
    trees: Sequence[SearchTreeRecord],
    tasks_by_id: Mapping[str, TaskRecord],
    *,
    images: ImageStore,
    title: str,
    chains: Iterable[TraceRecord] | ChainCounts = (),
    metrics: Mapping[str, float] | None = None,
    num_trees: int = 9,
) -> str:
    """The page as one string of HTML; about 1 MB for nine trees of twenty simulations.

    Args:
        trees: All of a search; none gives a page that says so.
        tasks_by_id: For target boxes and categories; a tree without its task is shown without.
        images: Where their pictures come from.
        title: Names the search.
        chains: That were made of the trees, or what was counted of them, for their charts.
        metrics: `search_metrics` of the trees, where they are there already.
        num_trees: Shown in full; see `pick_trees`.
    Raises:
        DataError: A picture cannot be read.
    """
    album = Album(images)
    if not isinstance(chains, ChainCounts):
        every, chains = chains, ChainCounts()
        for chain in every:
            chains.add(chain)
    briefs, depths = list[_Brief](), list[int]()
    for tree in trees:
        briefs.append(_brief(tree))
        depths += [place.depth for place in numbered_nodes(tree.root)[1:]]
    num_solved = sum(tree.is_solved for tree in briefs)
    return render(
        "search.html.jinja",
        title=title,
        num_of_trees=len(trees),
        num_solved=num_solved,
        solved_interval=binomtest(num_solved, len(trees)).proportion_ci(method="wilson")
        if trees
        else None,
        num_chains=len(chains.turns),
        tiles=_TILES,
        metrics=search_metrics(trees) if metrics is None else metrics,
        charts=list(_charts(briefs, depths, chains)) if trees or chains.turns else [],
        trees=[
            tree_view(tree, tasks_by_id.get(tree.id), album)
            for tree in (trees[index] for index in _pick(briefs, num_trees))
        ],
        MIDDLE=MIDDLE,
    )


def _charts(trees: Sequence[_Brief], depths: Sequence[int], chains: ChainCounts) -> Iterator[Chart]:
    yield solved_chart(solved_shares(trees))
    yield histogram(depths, title="depth of thoughts", xlabel="depth", ylabel="thoughts")
    if chains.turns:
        yield histogram(chains.points, title="points per chain", xlabel="points", ylabel="chains")
        yield histogram(chains.turns, title="length of chains", xlabel="turns", ylabel="chains")
