"""One tree of a search's page: its thoughts' points on the picture, and beside it the thoughts.

A disc on the picture and a line of text with the same number are the same thought; a disc links to
its line. Discs that would cover one another are moved apart, and a thin line leads to the place.
Left out on purpose: the words of rollouts in a tree; the file of the search has them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.records import TaskRecord
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import parse_turn
from vigorl.rollout.page_rollout import (
    Drawer,
    box_shape,
    canvas_size,
    count_of,
    escape,
    text_blocks,
)
from vigorl.rollout.picture import RIGHT, TARGET, WRONG
from vigorl.search.metrics import NumberedNode, numbered_nodes

MIDDLE = "#f3e7a1"  # between right and wrong
_LINE_CHARACTERS = 150
_MOST_ANSWERS = 8
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_SPIRAL_STEPS, _SPIRAL_PX = 700, 2.4  # out to 63 px
_LARGE_TARGET_PX = 90  # a target of this size can be seen behind discs


@dataclass(frozen=True, slots=True)
class _Disc:
    """A thought on the picture, canvas units."""

    place: NumberedNode
    exact: tuple[Point, ...]
    center: Point
    radius: float


def tree_section(
    tree: SearchTreeRecord, task: TaskRecord | None, number: int, *, drawer: Drawer
) -> str:
    """Everything about one tree.

    Args:
        tree: A finished one.
        task: Its task, for the target boxes; None draws none.
        number: On the page, from 1.
        drawer: Of the page.
    Raises:
        DataError: The picture cannot be read.
    """
    places, anchor = numbered_nodes(tree.root), f"t{number}"
    shares = value_shares(tree.root)
    picture = _picture(tree, task, places, shares, anchor, drawer)
    text = _text_tree(places, shares, anchor)
    return (
        f'<section class="group tree" id="{anchor}">{_head(tree, task, places)}'
        f'<div class="whole"><div class="beside">{picture}{_answers(tree)}</div>{text}</div>'
        "</section>"
    )


def value_shares(root: SearchNode) -> dict[int, float]:
    """Each node's value in [0, 1], by its number in reading order.

    A tree with a value above 1 has sums of rewards (a released form), which are divided by visits.
    """
    nodes = list(root.walk())
    is_sum = any(node.value > 1 for node in nodes)
    values = [node.value / max(1, node.num_visits) if is_sum else node.value for node in nodes]
    return {number: min(1.0, max(0.0, value)) for number, value in enumerate(values)}


def value_colour(share: float) -> str:
    """From vermilion at 0 over pale yellow to green at 1; dark ink can be read on all."""
    start, end, way = (WRONG, MIDDLE, 2 * share) if share < 0.5 else (MIDDLE, RIGHT, 2 * share - 1)
    mixed = (round(a + (b - a) * way) for a, b in zip(_rgb(start), _rgb(end), strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def solved_words(tree: SearchTreeRecord) -> str:
    """Whether and when it was solved, as HTML."""
    of_all = f" of {tree.num_simulations}" if tree.num_simulations is not None else ""
    if tree.solved_at is not None:
        return f'<span class="right">✓ solved by simulation {tree.solved_at}{of_all}</span>'
    if tree.is_solved:
        return '<span class="right">✓ solved</span>'
    after = f" in {count_of(tree.num_simulations, 'simulation')}" if tree.num_simulations else ""
    return f'<span class="wrong">✗ not solved{after}</span>'


def _rgb(colour: str) -> tuple[int, int, int]:
    return (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))


def _head(tree: SearchTreeRecord, task: TaskRecord | None, places: Sequence[NumberedNode]) -> str:
    thoughts = places[1:]
    rollouts = _rollouts(tree)
    depth = max((place.depth for place in thoughts), default=0)
    facts = [
        solved_words(tree),
        f"{count_of(len(thoughts), 'thought')}, up to {depth} deep",
        f"{sum(one.is_right for one in rollouts)} of {count_of(len(rollouts), 'rollout')} right",
        *_hit_words(tree, thoughts),
        *(escape(text) for text in (task.category if task else "", tree.id, tree.source) if text),
    ]
    return (
        f'<div class="head"><h2 class="text">{escape(tree.question)}</h2>'
        f'<p class="meta soft">{" · ".join(facts)}</p></div>'
    )


def _hit_words(tree: SearchTreeRecord, thoughts: Sequence[NumberedNode]) -> list[str]:
    hits = [place.node.is_hit for place in thoughts if place.points]
    checked = [hit for hit in hits if hit is not None]
    words = [f"{sum(checked)} of {count_of(len(checked), 'look')} hit a target"] if checked else []
    if tree.checked_by is not CheckedBy.JUDGE:
        return words
    num_open = len(hits) - len(checked)
    return [
        *(f"{text}, by the judge" for text in words),
        *([f"{count_of(num_open, 'look')} without a verdict"] if num_open else []),
    ]


def _rollouts(tree: SearchTreeRecord) -> list[SearchRollout]:
    return [one for node in tree.root.walk() for one in node.rollouts]


# ---- the picture ---------------------------------------------------------------------------------


def _picture(
    tree: SearchTreeRecord,
    task: TaskRecord | None,
    places: Sequence[NumberedNode],
    shares: Mapping[int, float],
    anchor: str,
    drawer: Drawer,
) -> str:
    view = drawer.images.whole(tree.image, source=tree.source)
    canvas = canvas_size(view.original)
    boxes = task.target_boxes if task else ()
    to_canvas = FrameMap(view.original, canvas)
    taken = [to_canvas.box(box) for box in boxes]
    discs = _place_discs(places, FrameMap(tree.frame or view.original, canvas), taken)
    shapes = [_edges(discs, places)]
    shapes += [
        box_shape(box, to_canvas, colour=TARGET, title="target", is_dashed=True) for box in boxes
    ]
    shapes += [_leader(disc) for disc in discs.values()]
    shapes += [_disc_shape(disc, shares, anchor) for disc in discs.values()]
    svg = drawer.svg(view, shapes=shapes, label="the picture, with the points of all thoughts")
    num_without = len(places) - 1 - len(discs)
    also = f"; {count_of(num_without, 'thought')} without a point" if num_without else ""
    caption = f"{count_of(len(discs), 'thought')} with points{also}"
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _place_discs(
    places: Sequence[NumberedNode], to_canvas: FrameMap, targets: Sequence[Box]
) -> dict[int, _Disc]:
    """Discs by the thought's number, the most visited first; none hides another or a small target.

    Args:
        places: All of the tree.
        to_canvas: From the tree's frame.
        targets: Canvas units.
    """
    pointing = [place for place in places if place.points and place.parent is not None]
    most = max((place.node.num_visits for place in pointing), default=1)
    small = [box for box in targets if _longer_side(box) < _LARGE_TARGET_PX]
    discs: dict[int, _Disc] = {}
    for place in sorted(pointing, key=lambda place: -place.node.num_visits):
        exact = tuple(to_canvas.point(point) for point in place.points)
        radius = 7.5 + 5 * math.sqrt(place.node.num_visits / max(1, most))
        disc = _Disc(place, exact, exact[0], radius)
        discs[place.number] = _moved(disc, list(discs.values()), small, to_canvas.target)
    return discs


def _moved(wanted: _Disc, others: list[_Disc], targets: list[Box], canvas: Size) -> _Disc:
    """At the nearest place on a spiral that is free; where it was if there is none."""
    start, radius = wanted.exact[0], wanted.radius
    for step in range(_SPIRAL_STEPS):
        distance, angle = _SPIRAL_PX * math.sqrt(step), _GOLDEN_ANGLE * step
        here = Point(start.x + distance * math.cos(angle), start.y + distance * math.sin(angle))
        is_on = radius <= here.x <= canvas.width - radius and (
            radius <= here.y <= canvas.height - radius
        )
        is_free = all(here.distance(one.center) >= 0.9 * (radius + one.radius) for one in others)
        if is_on and is_free and not any(_gap(here, box) < radius for box in targets):
            return replace(wanted, center=here)
    return wanted


def _gap(point: Point, box: Box) -> float:
    """Distance from a point to a box; 0 inside."""
    across = max(box.left - point.x, 0.0, point.x - box.right)
    down = max(box.top - point.y, 0.0, point.y - box.bottom)
    return math.hypot(across, down)


def _longer_side(box: Box) -> float:
    return max(box.right - box.left, box.bottom - box.top)


def _edges(discs: Mapping[int, _Disc], places: Sequence[NumberedNode]) -> str:
    """A line from each thought to the nearest one above it that has a point."""
    lines = []
    for number, disc in discs.items():
        above = places[number].parent
        while above is not None and above not in discs:
            above = places[above].parent
        if above is not None:
            lines.append(_path(discs[above].center, disc.center) * 2)  # a rim, a core
    return f'<g class="edges">{"".join(lines)}</g>'


def _path(start: Point, end: Point) -> str:
    return f'<path d="M{start.x:.1f} {start.y:.1f}L{end.x:.1f} {end.y:.1f}"/>'


def _leader(disc: _Disc) -> str:
    """From the disc to each place it speaks of, where the disc itself is not."""
    away = [point for point in disc.exact if point.distance(disc.center) > 1]
    lines = "".join(_path(disc.center, point) for point in away)
    dots = "".join(f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="2.2"/>' for point in away)
    return f'<g class="leader">{lines}{dots}</g>' if away else ""


def _disc_shape(disc: _Disc, shares: Mapping[int, float], anchor: str) -> str:
    place, node = disc.place, disc.place.node
    where = f'cx="{disc.center.x:.1f}" cy="{disc.center.y:.1f}"'
    points = ", ".join(f"({point.x:.0f}, {point.y:.0f})" for point in place.points)
    title = f"thought {place.number} at {points}: {_facts(node)}"
    ring = ""
    if node.is_hit is not None:
        css = "hit" if node.is_hit else "miss"
        ring = f'<circle class="{css}" {where} r="{disc.radius + 0.5:.1f}"/>'
    size = min(12.0, disc.radius * (1.25 if place.number < 10 else 1.1))
    return (
        f'<a href="#{anchor}-n{place.number}" class="disc"><title>{escape(title)}</title>'
        f'<circle {where} r="{disc.radius:.1f}" fill="{value_colour(shares[place.number])}" '
        f'stroke="#fff" stroke-width="1.5"/>{ring}<text x="{disc.center.x:.1f}" '
        f'y="{disc.center.y + size * 0.36:.1f}" font-size="{size:.1f}">{place.number}</text></a>'
    )


# ---- the words -----------------------------------------------------------------------------------


def _facts(node: SearchNode) -> str:
    return f"value {node.value:.2f}, {count_of(node.num_visits, 'visit')}"


def _answers(tree: SearchTreeRecord) -> str:
    """What rollouts answered, and how often; what is right comes first."""
    votes = Counter((one.answer, one.is_right) for one in _rollouts(tree))
    ranked = sorted(votes, key=lambda vote: (not vote[1], -votes[vote]))
    rows = "".join(
        f'<li class="{"is-right" if right else ""}"><span class="right">{"✓" if right else ""}'
        f'</span><span class="text">{_answer_words(answer, limit=60)}</span><span class="track">'
        f'<i style="width:{100 * votes[answer, right] / votes.total():.0f}%"></i></span>'
        f'<span class="num">{votes[answer, right]}</span></li>'
        for answer, right in ranked[:_MOST_ANSWERS]
    )
    label = "answers of the rollouts and how often each was given"
    note = f'<p class="small soft">the right answer: {escape(tree.answer)}</p>'
    return f'{note}<ul class="options" aria-label="{label}">{rows}</ul>'


def _answer_words(answer: str | None, *, limit: int) -> str:
    return "<i>no answer</i>" if answer is None else escape(_short(answer, limit))


def _text_tree(places: Sequence[NumberedNode], shares: Mapping[int, float], anchor: str) -> str:
    """Nested lists of thoughts; those on the way to the first right rollout are open."""
    children: dict[int, list[NumberedNode]] = {}
    for place in places:
        if place.parent is not None:
            children.setdefault(place.parent, []).append(place)
    opened = _way_to_right(places)

    def items(above: int) -> str:
        return "".join(
            f'<li id="{anchor}-n{place.number}">'
            f"{_thought(place, shares[place.number], is_open=place.number in opened)}"
            + (f"<ul>{items(place.number)}</ul>" if place.number in children else "")
            + "</li>"
            for place in children.get(above, [])
        )

    if not children:
        return _tries(places[0].node)
    return f'<ul class="thoughts">{items(0)}</ul>'


def _tries(root: SearchNode) -> str:
    """Where no tree was grown: each try with its words, the first right one open."""
    if not root.rollouts:
        return '<p class="soft">no thought was kept</p>'
    first_right = next((one for one in root.rollouts if one.is_right), None)
    items = "".join(
        f"<li><details{' open' if one is first_right else ''}><summary>"
        f'<span class="num">{number}</span> {_outcome(one.answer, one.is_right)}</summary>'
        f'<div class="body">{"".join(map(text_blocks, one.texts))}</div></details></li>'
        for number, one in enumerate(root.rollouts, 1)
    )
    return f'<ul class="thoughts">{items}</ul>'


def _way_to_right(places: Sequence[NumberedNode]) -> set[int]:
    """Numbers of the first thought with a right rollout and of those above it."""
    for place in places:
        if not any(one.is_right for one in place.node.rollouts):
            continue
        way, above = {place.number}, place.parent
        while above is not None:
            way.add(above)
            above = places[above].parent
        return way
    return set()


def _thought(place: NumberedNode, share: float, *, is_open: bool) -> str:
    node = place.node
    hit = {True: '<span class="right" title="it looks at a target">◎ hit</span>',
           False: '<span title="it looks at no target">○ miss</span>',
           None: ""}[node.is_hit]  # fmt: skip
    chip = f'<span class="chip" style="background:{value_colour(share)}">{place.number}</span>'
    facts = (
        f'<span class="soft"><b class="num">{node.value:.2f}</b> · '
        f"{count_of(node.num_visits, 'visit')}{' · ' if hit else ''}{hit}</span>"
        f"{_outcomes(node)}"
    )
    return (
        f"<details{' open' if is_open else ''}><summary>{chip}"
        f'<span class="line text">{_one_line(node)}</span>'
        f'<span class="facts">{facts}</span></summary>'
        f'<div class="body">{text_blocks(node.text)}</div></details>'
    )


def _one_line(node: SearchNode) -> str:
    parsed = parse_turn(node.text)
    words = " ".join((parsed.think or node.text).split())
    return escape(_short(words, _LINE_CHARACTERS))


def _outcomes(node: SearchNode) -> str:
    """The answers of the rollouts from here, alike ones together."""
    votes = Counter((one.answer, one.is_right) for one in node.rollouts)
    ends = [_outcome(answer, right, times) for (answer, right), times in votes.items()]
    what = "answers" if node.is_terminal else "rollouts"
    if not ends:
        return ""
    return f'<span class="soft">{what}</span>{"".join(ends)}'


def _outcome(answer: str | None, is_right: bool, times: int = 1) -> str:
    return (
        f'<span class="{"right" if is_right else "wrong"}">{"✓" if is_right else "✗"} '
        f"{_answer_words(answer, limit=32)}{f' ×{times}' if times > 1 else ''}</span>"
    )


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rstrip() + " …"
