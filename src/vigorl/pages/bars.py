"""Counts of a run as bars: outcomes stacked over phases, and histograms of two moments side by
side. Plots are 340 x 190 SVG units, as in chart.html.jinja.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.pages.phases import PhaseSummary
from vigorl.pages.tallies import RIGHT, Tally

_LEFT, _TOP, _WIDTH, _HEIGHT = 52.0, 18.0, 278.0, 136.0
_MOST_COLUMNS = 120
_MOST_BINS = 12
_MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a column, in SVG units; `colour` numbers its reason, -1 for right."""

    y: float
    height: float
    colour: int
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """One phase of a stack."""

    x: float
    width: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """Outcomes over phases, from the first to the last."""

    columns: tuple[Column, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class CountRow:
    """How often something was seen; `share` is of the last phase's rollouts."""

    name: str
    colour: int | None
    first: int
    last: int
    total: int
    share: float


@dataclass(frozen=True, slots=True)
class BarPair:
    """The shares of rollouts at two moments, in [0, 1]."""

    label: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class BarPairs:
    """A histogram of two moments."""

    title: str
    xlabel: str
    bars: tuple[BarPair, ...]


def outcome_stack(summaries: Sequence[PhaseSummary], reasons: Mapping[str, int]) -> Stack:
    """Shares of outcomes by phase, in the order of `reasons` from the bottom up, which have their
    colours; many phases are thinned out.
    """
    step = -(-len(summaries) // _MOST_COLUMNS)
    shown = [*summaries[:-1:step], summaries[-1]]
    slot = _WIDTH / len(shown)
    width = slot * (0.86 if len(shown) < 40 else 1.0)
    columns = []
    for i, one in enumerate(shown):
        y, segments = _TOP + _HEIGHT, []
        for reason, colour in reasons.items():
            count = one.tally.outcomes.get(reason, 0)
            height = _HEIGHT * count / max(one.tally.num_rollouts, 1)
            y -= height
            label = f"{one.words}: {count} {reason} of {one.tally.num_rollouts}"
            segments += [Segment(y, height, colour, label)] if count else []
        columns.append(Column(_LEFT + slot * i + (slot - width) / 2, width, tuple(segments)))
    return Stack(tuple(columns), str(shown[0].phase), str(shown[-1].phase))


def outcome_colours(summaries: Sequence[PhaseSummary]) -> dict[str, int]:
    """Every outcome, right first, then by frequency, with the number of its colour."""
    total: Counter[str] = Counter()
    for one in summaries:
        total.update(one.tally.outcomes)
    reasons = [name for name, _ in total.most_common() if name != RIGHT]
    return {RIGHT: -1} | {name: i for i, name in enumerate(reasons)}


def count_rows(
    summaries: Sequence[PhaseSummary], part: str, *, colours: Mapping[str, int] | None = None
) -> list[CountRow]:
    """A part of the tallies by name, the most frequent first.

    Args:
        summaries: At least one, in time.
        part: Of `Tally`, such as "problems".
        colours: Which names have a colour; they come in this order.
    """
    counts = [getattr(one.tally, part) for one in summaries]
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    names = [*colours] if colours else [name for name, _ in total.most_common(_MOST_ROWS)]
    num = max(summaries[-1].tally.num_rollouts, 1)
    return [
        CountRow(
            name,
            (colours or {}).get(name),
            counts[0].get(name, 0),
            counts[-1].get(name, 0),
            total[name],
            counts[-1].get(name, 0) / num,
        )
        for name in names
    ]


def bar_pairs(
    before: Tally, after: Tally, part: str, *, title: str, xlabel: str, unit: int = 1
) -> BarPairs:
    """Shares of rollouts by a number, at two moments; a wide range shares bars.

    Args:
        before, after: The counts; at least one rollout each.
        part: Of `Tally`, such as "turns".
        title: Above it.
        xlabel: What the numbers are.
        unit: They are multiples of it.
    """
    counts = [{int(k): n for k, n in getattr(one, part).items()} for one in (before, after)]
    numbers = sorted({number for one in counts for number in one}) or [0]
    per_bar = unit * -(-((numbers[-1] - numbers[0]) // unit + 1) // _MOST_BINS)
    starts = range(numbers[0], numbers[-1] + 1, per_bar)
    totals = [max(sum(one.values()), 1) for one in counts]
    shares = [
        [sum(one.get(i, 0) for i in range(start, start + per_bar)) / num for start in starts]
        for one, num in zip(counts, totals, strict=True)
    ]
    labels = [str(start) if per_bar == 1 else f"{start}–{start + per_bar - 1}" for start in starts]
    bars = tuple(map(BarPair, labels, *shares))
    return BarPairs(title, xlabel, bars)
