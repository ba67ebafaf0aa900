"""One HTML page of a search to look at: its numbers, its charts, and some of its trees.

    page = render_search_page(trees, tasks, images=store, title="search", chains=chains)

The page stands alone: no script, nothing loaded from elsewhere, pictures embedded once each.
Left out on purpose: sorting and filtering; the file of the search has every tree as data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import binomtest

from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.core.trace import find_points
from vigorl.data.images import ImageStore
from vigorl.rollout.page_rollout import Drawer, count_of, escape
from vigorl.rollout.page_style import STYLE
from vigorl.rollout.picture import RIGHT, TARGET, WRONG
from vigorl.search.forest import ForestStats
from vigorl.search.metrics import numbered_nodes, search_metrics, solved_shares
from vigorl.search.report_charts import histogram, solved_chart
from vigorl.search.report_style import SEARCH_STYLE
from vigorl.search.report_tree import MIDDLE, solved_words, tree_section

__all__ = ["pick_trees", "render_search_page", "search_metrics"]

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
    late = [tree for tree in trees if tree.is_solved and (tree.solved_at or 0) > 1]
    late.sort(key=lambda tree: -(tree.solved_at or 0))
    unsolved = [tree for tree in trees if not tree.is_solved]
    at_once = [tree for tree in trees if tree.is_solved and (tree.solved_at or 0) <= 1]
    kinds, taken = (late, unsolved, at_once), [0, 0, 0]
    while sum(taken) < min(num, len(trees)):
        open_kinds = [i for i, kind in enumerate(kinds) if taken[i] < len(kind)]
        taken[min(open_kinds, key=lambda i: (taken[i], i))] += 1
    return [tree for kind, count in zip(kinds, taken, strict=True) for tree in kind[:count]]


def render_search_page(
    trees: Sequence[SearchTreeRecord],
    tasks_by_id: Mapping[str, TaskRecord],
    *,
    images: ImageStore,
    title: str,
    chains: Sequence[TraceRecord] = (),
    num_trees: int = 9,
    stats: ForestStats | None = None,
    max_side_px: int = 448,
) -> str:
    """The page as one string of HTML; about 1 MB for nine trees of twenty simulations.

    Args:
        trees: All of a search; none gives a page that says so.
        tasks_by_id: For target boxes and categories; a tree without its task is shown without.
        images: Where their pictures come from.
        title: Names the search.
        chains: That were made of the trees, for their charts.
        num_trees: Shown in full; see `pick_trees`.
        stats: What the search cost, shown where given.
        max_side_px: Longer side of an embedded picture.
    Raises:
        DataError: A picture cannot be read.
    """
    drawer = Drawer(images, max_side_px)
    picked = pick_trees(trees, num_trees)
    sections = "".join(
        tree_section(tree, tasks_by_id.get(tree.id), number, drawer=drawer)
        for number, tree in enumerate(picked, start=1)
    )
    body = _header(title, trees, chains, stats)
    body += _charts(trees, chains) if trees or chains else ""
    if picked:
        body += f"<h2>{len(picked)} of {count_of(len(trees), 'tree')}, in full</h2>"
        body += f"{_contents(picked)}{_key()}<main>{sections}</main>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{SEARCH_STYLE}</style></head><body>"
        f"{body}</body></html>\n"
    )


def _header(
    title: str,
    trees: Sequence[SearchTreeRecord],
    chains: Sequence[TraceRecord],
    stats: ForestStats | None,
) -> str:
    metrics = search_metrics(trees)
    tiles = [("trees", str(len(trees)), "")]
    if trees:
        num_solved = sum(tree.is_solved for tree in trees)
        sure = binomtest(num_solved, len(trees)).proportion_ci(method="wilson")
        interval = f"{100 * sure.low:.0f} to {100 * sure.high:.0f} %"
        tiles.append(("solved", f"{100 * num_solved / len(trees):.0f} %", interval))
    tiles += [
        (name, _metric(key, metrics[key]), "") for key, name in _TILES.items() if key in metrics
    ]
    if chains:
        tiles.append(("chains", str(len(chains)), ""))
    if stats is not None:
        tiles.append(("thoughts asked again", str(stats.num_repeats), ""))
    shown = "".join(
        f'<div class="tile"><dt>{name}</dt><dd>{value}'
        + (f' <span class="small soft" title="95 % interval">{aside}</span>' if aside else "")
        + "</dd></div>"
        for name, value, aside in tiles
    )
    rest = "".join(
        f"<div><dt>{key}</dt><dd class='num'>{value:.4g}</dd></div>"
        for key, value in metrics.items()
    )
    details = (
        '<details class="small"><summary class="soft">All metrics</summary>'
        f'<dl class="columns">{rest}</dl></details>'
    )
    return (
        f'<header class="page"><h1 class="text">{escape(title)}</h1>{_cost(trees, stats)}'
        f'<dl class="tiles">{shown}</dl>{details if rest else ""}</header>'
    )


def _cost(trees: Sequence[SearchTreeRecord], stats: ForestStats | None) -> str:
    lines = [] if trees else ['<p class="flag">No tree: the search finished none.</p>']
    if stats is not None:
        cut = ' · <span class="flag">cut by its budget</span>' if stats.is_cut else ""
        lines.append(
            f'<p class="soft">{stats.num_requests:,} requests · {stats.num_tokens:,} tokens '
            f"sampled · {stats.wall_s:,.0f} s{cut}</p>"
        )
    return "".join(lines)


def _metric(key: str, value: float) -> str:
    return f"{100 * value:.0f} %" if key.endswith("_frac") else f"{value:.1f}"


def _charts(trees: Sequence[SearchTreeRecord], chains: Sequence[TraceRecord]) -> str:
    depths = [place.depth for tree in trees for place in numbered_nodes(tree.root)[1:]]
    charts = [
        solved_chart(solved_shares(trees)),
        histogram(depths, title="depth of thoughts", xlabel="depth", ylabel="thoughts"),
    ]
    if chains:
        steps = [chain.trace.steps for chain in chains]
        points = [sum(len(find_points(step.think)) for step in some) for some in steps]
        charts += [
            histogram(points, title="points per chain", xlabel="points", ylabel="chains"),
            histogram(
                [len(some) for some in steps],
                title="length of chains", xlabel="turns", ylabel="chains",
            ),
        ]  # fmt: skip
    return f'<div class="charts">{"".join(charts)}</div>'


def _contents(picked: Sequence[SearchTreeRecord]) -> str:
    items = "".join(
        f'<li><a href="#t{number}" class="text">{escape(tree.question[:140])}</a> '
        f'<span class="small">{solved_words(tree)}</span></li>'
        for number, tree in enumerate(picked, start=1)
    )
    return f'<nav aria-label="trees"><ol>{items}</ol></nav>'


def _key() -> str:
    def disc(x: int, radius: float, *, css: str = "") -> str:
        ring = f'<circle class="{css}" cx="{x}" cy="12" r="{radius + 0.5}"/>' if css else ""
        return f'<circle cx="{x}" cy="12" r="{radius}" fill="{MIDDLE}" stroke="#fff"/>{ring}'

    square = '<rect x="4" y="4" width="16" height="16" fill="none" stroke="#000" stroke-width="4"/>'
    target = (
        square + f'<rect x="4" y="4" width="16" height="16" fill="none" stroke="{TARGET}" '
        'stroke-width="2" stroke-dasharray="5 3"/>'
    )
    samples = (
        (26, disc(13, 8.5, css="hit"), "hit a target"),
        (26, disc(13, 8.5, css="miss"), "missed"),
        (44, disc(9, 6) + disc(31, 11), "few and many visits"),
        (24, target, "target"),
    )
    items = "".join(
        f'<span><svg class="sample" width="{width}" height="24" viewBox="0 0 {width} 24" '
        f'aria-hidden="true">{shape}</svg>{words}</span>'
        for width, shape, words in samples
    )
    ramp = f"linear-gradient(90deg, {WRONG}, {MIDDLE}, {RIGHT})"
    return (
        f'<div class="key"><span>value 0 <i class="ramp" style="background:{ramp}"></i> 1</span>'
        f"{items}<span>numbers are thoughts, the same on the picture and in the text</span></div>"
    )
