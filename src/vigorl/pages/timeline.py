"""A phase's timeline as a picture: a row of bars per rank and thread, what lies in a span below it,
and where the time went in numbers.

The picture is `_CELLS` cells wide. A cell shows the kind of span that most of it is, so that a
phase of a hundred thousand spans is as small a page as one of ten; the Chrome trace has them all.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vigorl.core.files import written_whole
from vigorl.core.spans import Kind, Span, Timeline, nested, own_seconds
from vigorl.pages.curves import round_numbers
from vigorl.pages.html import render

_CELLS = 600
_LEFT, _WIDTH, _LANE = 70.0, 900.0, 15.0  # SVG units
_MARK = re.compile("<!--timeline-->.*?<!--/timeline-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bar:
    """Neighbouring cells of one kind, in SVG units."""

    x: float
    width: float
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """The spans of a thread that lie in equally many others; `name` stands before the first."""

    y: float
    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """Where time went: seconds of the main thread as a mean over ranks, and from least to most;
    `share` is of the phase, `num` counts spans.
    """

    kind: str
    seconds: float
    share: float
    least_s: float
    most_s: float
    num: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What the template draws; `ticks` are (x, seconds in words)."""

    height: float
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    shares: tuple[Share, ...]
    wall_s: float
    num_ranks: int


def render_timeline(timelines: Sequence[Timeline], *, phase: int) -> str:
    """A page of its own, of all ranks."""
    title, trace = f"phase {phase}: where its time goes", f"phase_{phase:04d}.json"
    one = picture_of(timelines)
    return render("timeline.html.jinja", title=title, one=one, trace=trace)


def show_on_page(page: Path, timelines: Sequence[Timeline]) -> bool:
    """Put the picture on a phase's page, which was written before the phase was over; whether there
    is one.
    """
    if not page.is_file():
        return False
    one = picture_of(timelines)
    trace = f"../profile/{page.stem.removeprefix('train_')}.json"
    section = render("timeline_section.html.jinja", one=one, trace=trace)
    text = page.read_text(encoding="utf-8")
    shown = _MARK.sub(lambda _: f"<!--timeline-->{section}<!--/timeline-->", text)
    with written_whole(page) as part:
        part.write_text(shown, encoding="utf-8")
    return True


def picture_of(timelines: Sequence[Timeline]) -> Picture:
    """Of all ranks of a phase, on one axis."""
    first = min(one.begun_s for one in timelines)
    end_s = max(one.begun_s - first + one.wall_s for one in timelines)
    lanes: list[Lane] = []
    y = 4.0
    for one in timelines:
        for lane in _lanes(one, shift_s=one.begun_s - first, end_s=end_s):
            lanes.append(Lane(y, lane.name, lane.bars))
            y += _LANE
        y += 5
    ticks = [one for one in round_numbers(0.0, end_s) if one <= end_s]
    return Picture(
        height=y + 16,
        lanes=tuple(lanes),
        ticks=tuple((_LEFT + _WIDTH * one / end_s, f"{one:g} s") for one in ticks),
        shares=_shares(timelines),
        wall_s=end_s,
        num_ranks=len(timelines),
    )


def _lanes(one: Timeline, *, shift_s: float, end_s: float) -> Iterator[Lane]:
    """Of one rank, its threads below each other."""
    by_place: defaultdict[tuple[int, int], list[Span]] = defaultdict(list)
    for spent, around in nested(one.spans):
        by_place[spent.thread, len(around)].append(spent)
    for thread, depth in sorted(by_place):
        name = f"rank {one.rank}" if not (thread or depth) else ""
        name = f"thread {thread}" if thread and not depth else name
        bars = _bars(by_place[thread, depth], shift_s=shift_s, end_s=end_s)
        yield Lane(0.0, name, tuple(bars))


def _bars(spans: Sequence[Span], *, shift_s: float, end_s: float) -> Iterator[Bar]:
    cells: list[Counter[Kind]] = [Counter() for _ in range(_CELLS)]
    per_s = _CELLS / end_s
    for one in spans:
        begun, ended = (shift_s + one.begun_s) * per_s, (shift_s + one.ended_s) * per_s
        for i in range(max(int(begun), 0), min(int(ended) + 1, _CELLS)):
            cells[i][one.kind] += min(ended, i + 1) - max(begun, i)  # pyright: ignore[reportArgumentType]
    kinds = [_most_of(one) for one in cells]
    unit, start = _WIDTH / _CELLS, 0
    for i in range(1, _CELLS + 1):
        if i < _CELLS and kinds[i] == kinds[start]:
            continue
        kind = kinds[start]
        if kind is not None:
            label = f"{kind}, {start / per_s:.3g} to {i / per_s:.3g} s"
            yield Bar(_LEFT + unit * start, unit * (i - start), str(kind), label)
        start = i


def _most_of(cell: Counter[Kind]) -> Kind | None:
    """The kind of most of what a cell holds, where it is at least half full."""
    return max(cell, key=lambda kind: cell[kind]) if sum(cell.values()) >= 0.5 else None


def _shares(timelines: Sequence[Timeline]) -> tuple[Share, ...]:
    """By kind, the longest first, and what no span covers as "else"."""
    seconds: list[dict[str, float]] = []
    nums: Counter[str] = Counter()
    for one in timelines:
        spans = [spent for spent in one.spans if spent.thread == 0]
        own = {str(kind): spent_s for kind, spent_s in own_seconds(spans).items()}
        seconds.append(own | {"else": one.wall_s - sum(own.values())})
        nums.update(str(spent.kind) for spent in spans)
    wall_s = sum(one.wall_s for one in timelines) / len(timelines)
    found = []
    for kind in {name for own in seconds for name in own}:
        of_ranks = [own.get(kind, 0.0) for own in seconds]
        mean = sum(of_ranks) / len(of_ranks)
        found.append(Share(kind, mean, mean / wall_s, min(of_ranks), max(of_ranks), nums[kind]))
    return tuple(sorted(found, key=lambda one: -one.seconds))
