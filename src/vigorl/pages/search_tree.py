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
from vigorl.core.search_metrics import NumberedNode, numbered_nodes
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import parse_turn
from vigorl.pages.html import Album, Picture, Vote, count_of
from vigorl.pages.spots import RIGHT, WRONG
from vigorl.pages.text import Block, text_blocks

MIDDLE = "#f3e7a1"  # between right and wrong
_MOST_ANSWERS = 8
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_SPIRAL_STEPS, _SPIRAL_PX = 700, 2.4  # out to 63 px
_LARGE_TARGET_PX = 90  # a target of this size can be seen behind discs


@dataclass(frozen=True, slots=True)
class _Disc:
    """A thought on the picture, canvas units.

    Attributes:
        place: The thought.
        colour: Of its value.
        exact: Where it points.
        center, radius: Where it is drawn.
        above: Centre of the nearest thought above that has a point.
    """

    place: NumberedNode
    colour: str
    exact: tuple[Point, ...]
    center: Point
    radius: float
    above: Point | None = None

    @property
    def away(self) -> list[Point]:
        """The places that it speaks of and does not lie on."""
        return [point for point in self.exact if point.distance(self.center) > 1]


@dataclass(frozen=True, slots=True)
class _Thought:
    """A thought and those below it; `ends` are the answers of its rollouts, alike ones together."""

    place: NumberedNode
    colour: str
    is_open: bool
    line: str
    blocks: tuple[Block, ...]
    ends: tuple[Vote, ...]
    children: tuple[_Thought, ...]


@dataclass(frozen=True, slots=True)
class _Try:
    """A rollout from the question, where no tree was grown."""

    rollout: SearchRollout
    is_open: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class TreeView:
    """All that the page shows of one tree.

    Attributes:
        tree: As it was searched.
        facts: About it, in words.
        picture: The question's first.
        targets: Boxes on it, ORIGINAL frame.
        discs: Thoughts on it.
        num_thoughts: With and without a place.
        votes: The answers of all rollouts; what is right comes first.
        thoughts: Of the first level.
        tries: Only where there are no thoughts.
    """

    tree: SearchTreeRecord
    facts: tuple[str, ...]
    picture: Picture
    targets: tuple[Box, ...]
    discs: tuple[_Disc, ...]
    num_thoughts: int
    votes: tuple[Vote, ...]
    thoughts: tuple[_Thought, ...]
    tries: tuple[_Try, ...]


def tree_view(tree: SearchTreeRecord, task: TaskRecord | None, album: Album) -> TreeView:
    """What the page shows of a finished tree.

    Args:
        tree: Any.
        task: Its task, for the target boxes; None draws none.
        album: Of the page.
    Raises:
        DataError: The picture cannot be read.
    """
    view, places = album.images.whole(tree.image, source=tree.source), numbered_nodes(tree.root)
    picture, targets = album.whole(view), task.target_boxes if task else ()
    canvas = Size(picture.width, picture.height)
    taken = [FrameMap(view.original, canvas).box(box) for box in targets]
    colours = [value_colour(share) for _, share in sorted(value_shares(tree.root).items())]
    discs = _place_discs(places, colours, FrameMap(tree.frame or view.original, canvas), taken)
    rollouts = [one for place in places for one in place.node.rollouts]
    votes = sorted(_votes(rollouts), key=lambda vote: (not vote.is_right, -vote.count))
    return TreeView(
        tree=tree,
        facts=tuple(_facts(tree, task, places)),
        picture=picture,
        targets=targets,
        discs=_with_edges(discs, places),
        num_thoughts=len(places) - 1,
        votes=tuple(votes[:_MOST_ANSWERS]),
        thoughts=_thoughts(places, colours),
        tries=() if tree.root.children else _tries(tree.root),
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


def _rgb(colour: str) -> tuple[int, int, int]:
    return (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))


def _facts(
    tree: SearchTreeRecord, task: TaskRecord | None, places: Sequence[NumberedNode]
) -> list[str]:
    thoughts = places[1:]
    rollouts = [one for place in places for one in place.node.rollouts]
    depth = max((place.depth for place in thoughts), default=0)
    return [
        f"{count_of(len(thoughts), 'thought')}, up to {depth} deep",
        f"{sum(one.is_right for one in rollouts)} of {count_of(len(rollouts), 'rollout')} right",
        *_hit_words(tree, thoughts),
        *(text for text in (task.category if task else "", tree.id, tree.source) if text),
    ]


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


def _place_discs(
    places: Sequence[NumberedNode],
    colours: Sequence[str],
    to_canvas: FrameMap,
    targets: Sequence[Box],
) -> dict[int, _Disc]:
    """Discs by the thought's number, the most visited first; none hides another or a small target.

    Args:
        places: All of the tree.
        colours: By the thought's number.
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
        disc = _Disc(place, colours[place.number], exact, exact[0], radius)
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


def _with_edges(discs: Mapping[int, _Disc], places: Sequence[NumberedNode]) -> tuple[_Disc, ...]:
    """The discs with their edges, in order of their numbers."""
    joined = []
    for number, disc in discs.items():
        above = places[number].parent
        while above is not None and above not in discs:
            above = places[above].parent
        joined.append(replace(disc, above=None if above is None else discs[above].center))
    return tuple(joined)


def _votes(rollouts: Sequence[SearchRollout]) -> list[Vote]:
    counts = Counter((one.answer, one.is_right) for one in rollouts)
    return [
        Vote(answer, right, count, count / counts.total())
        for (answer, right), count in counts.items()
    ]


def _thoughts(places: Sequence[NumberedNode], colours: Sequence[str]) -> tuple[_Thought, ...]:
    """The first level; open are those on the way to the first right rollout."""
    opened = _way_to_right(places)

    def below(number: int) -> tuple[_Thought, ...]:
        return tuple(
            _Thought(
                place=place,
                colour=colours[place.number],
                is_open=place.number in opened,
                line=" ".join((parse_turn(place.node.text).think or place.node.text).split()),
                blocks=tuple(text_blocks(place.node.text)),
                ends=tuple(_votes(place.node.rollouts)),
                children=below(place.number),
            )
            for place in places
            if place.parent == number
        )

    return below(0)


def _tries(root: SearchNode) -> tuple[_Try, ...]:
    """The first right one is open."""
    first_right = next((one for one in root.rollouts if one.is_right), None)
    return tuple(
        _Try(one, one is first_right, tuple(b for text in one.texts for b in text_blocks(text)))
        for one in root.rollouts
    )


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
