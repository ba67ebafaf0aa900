"""Curves over phases, as a template draws them: `plot_of` makes paths of numbers.

A plot is 340 x 190 SVG units, as in chart.html.jinja; its area is 278 x 136 of them, the upper left
corner at (52, 18).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LEFT, _TOP, _WIDTH, _HEIGHT = 52.0, 18.0, 278.0, 136.0
_MOST_POINTS = 240  # a finer line cannot be seen
_MOST_DOTS = 40
_MOST_LETTERS = 7  # of a number, between the plot and the picture's edge
_FLAT = 1e-9  # of the value: what differs by less differs by rounding
NUM_COLOURS = 8  # of curves.css; they repeat

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over phases.

    Attributes:
        name: In the key.
        points: (phases done, value), in order.
        band: (phases done, low, high) around it; empty for none.
        colour: Number of its colour.
    """

    name: str
    points: tuple[Point, ...]
    band: tuple[tuple[float, float, float], ...] = ()
    colour: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Where an axis has a number; in SVG units."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that says its value."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class DrawnCurve:
    """A curve in SVG units; `last` is its last value in words."""

    name: str
    colour: int
    path: str
    band: str
    dots: tuple[Dot, ...]
    last: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture of curves; `unit` is what the numbers of `yticks` are times, "" is 1."""

    title: str
    about: str
    xticks: tuple[Tick, ...]
    yticks: tuple[Tick, ...]
    unit: str
    curves: tuple[DrawnCurve, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    def at(self, value: float) -> float:
        """In [0, 1] where it is within."""
        return (value - self.low) / (self.high - self.low)


def plot_of(
    title: str, curves: Sequence[Curve], *, about: str = "", is_share: bool = False
) -> Plot | None:
    """A plot of all curves that have a point; None where none has.

    Args:
        title: Above it.
        curves: In the order of the key.
        about: Below the title.
        is_share: Values are shares, drawn from 0 to 100 %.
    """
    curves = [one for one in curves if one.points]
    if not curves:
        return None
    xs = [x for one in curves for x, _ in one.points]
    ys = [y for one in curves for _, y in one.points]
    ys += [y for one in curves for _, *ends in one.band for y in ends]
    xticks = round_numbers(min(xs), max(xs), most=6, whole=max(xs) - min(xs) >= 2)
    yticks = round_numbers(*_y_range(ys, is_share=is_share), most=5)
    across = _Scale(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    up = _Scale(yticks[0], yticks[-1])
    labels, unit = _in_words(yticks, is_share=is_share)
    return Plot(
        title,
        about,
        tuple(Tick(_x(across, one), f"{one:g}") for one in xticks if min(xs) <= one <= max(xs)),
        tuple(Tick(_y(up, one), label) for one, label in zip(yticks, labels, strict=True)),
        unit,
        tuple(_drawn(one, across, up, is_share) for one in curves),
    )


def spread_over(curves: Iterable[Sequence[Point]]) -> tuple[tuple[Point, ...], tuple]:
    """The mean of several curves, and (x, lowest, highest), where all of them have a value."""
    by_x = [dict(one) for one in curves]
    common = sorted(set.intersection(*(set(one) for one in by_x))) if by_x else []
    rows = [(x, [one[x] for one in by_x]) for x in common]
    means = tuple((x, math.fsum(values) / len(values)) for x, values in rows)
    return means, tuple((x, min(values), max(values)) for x, values in rows)


def _drawn(curve: Curve, across: _Scale, up: _Scale, is_share: bool) -> DrawnCurve:
    points, band = _thinned(curve.points), _thinned(curve.band)
    at = [(_x(across, x), _y(up, y)) for x, y in points]
    edge = [(_x(across, x), _y(up, high)) for x, _, high in band]
    edge += [(_x(across, x), _y(up, low)) for x, low, _ in reversed(band)]
    dotted = slice(None) if len(points) <= _MOST_DOTS else slice(-1, None)
    dots = [
        Dot(x, y, f"{curve.name}: {_words(value, is_share)} after {_phases(phases)}")
        for (x, y), (phases, value) in zip(at[dotted], points[dotted], strict=True)
    ]
    return DrawnCurve(
        curve.name,
        curve.colour % NUM_COLOURS,
        " ".join(f"{x:.1f},{y:.1f}" for x, y in at),
        " ".join(f"{x:.1f},{y:.1f}" for x, y in edge),
        tuple(dots),
        _words(curve.points[-1][1], is_share),
    )


def _thinned(points: Sequence) -> Sequence:
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:step], *points[-1:]] if step > 1 else points


def _x(across: _Scale, value: float) -> float:
    return _LEFT + 8 + (_WIDTH - 16) * across.at(value)


def _y(up: _Scale, value: float) -> float:
    return _TOP + _HEIGHT * (1 - up.at(value))


def _y_range(values: Sequence[float], *, is_share: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if is_share and low >= 0 and high <= 1:
        return 0.0, 1.0
    if low > 0 and low < 0.5 * high:
        low = 0.0
    is_flat = high - low <= _FLAT * max(abs(low), abs(high))
    return (low, high) if not is_flat else (low - abs(low) * 0.1, high + (abs(high) * 0.1 or 1.0))


def round_numbers(low: float, high: float, *, most: int = 8, whole: bool = False) -> list[float]:
    """Round numbers from below `low` to above `high`."""
    raw = (high - low) / (most - 1) or 1.0
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * one for one in (1, 2, 2.5, 5, 10) if unit * one >= raw * 0.999)
    step = max(1.0, math.ceil(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def _in_words(ticks: Sequence[float], *, is_share: bool) -> tuple[list[str], str]:
    """A label each, no two the same, and their unit: a power of ten where they were too long."""
    if is_share:
        return [_words(one, is_share) for one in ticks], ""
    labels = _told_apart(ticks)
    if not any("e" in one or len(one) > _MOST_LETTERS for one in labels):
        return labels, ""
    power = max(math.floor(math.log10(max(abs(one) for one in ticks))), -300)
    return _told_apart([float(f"{one / 10.0**power:.12g}") for one in ticks]), f"× 1e{power}"


def _told_apart(ticks: Sequence[float]) -> list[str]:
    several = ([f"{one:.{digits}g}" for one in ticks] for digits in range(4, 18))
    return next(labels for labels in several if len(set(labels)) == len(set(ticks)))


def _words(value: float, is_share: bool) -> str:
    return f"{100 * value:.0f} %" if is_share else f"{value:.3g}"


def _phases(number: float) -> str:
    return f"{number:g} phase{'' if number == 1 else 's'}"
