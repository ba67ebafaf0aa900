"""What the small charts of a search's page show; its template draws them in the page's colours."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy.stats import binomtest

_MOST_BARS = 14


class SolvedAt(Protocol):
    """What the curve needs of a search tree."""

    @property
    def is_solved(self) -> bool: ...
    @property
    def solved_at(self) -> int | None: ...
    @property
    def num_simulations(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """Values from one number to another, by name, and how many there are."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class SolvedShare:
    """Share of trees that were solved by a simulation, and its 95 % Wilson interval."""

    simulation: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: a curve of `shares`, or `bars`; without either there is nothing to draw."""

    title: str
    about: str
    xlabel: str
    ylabel: str
    shares: tuple[SolvedShare, ...] = ()
    bars: tuple[Bar, ...] = ()


def solved_shares(trees: Sequence[SolvedAt]) -> list[SolvedShare]:
    """The cumulative share of trees with `solved_at` <= k, for k = 1 to the last simulation.

    Solved trees that did not note when are left out of numerator and denominator.
    """
    known = [tree for tree in trees if tree.solved_at is not None or not tree.is_solved]
    solved_at = [tree.solved_at for tree in known if tree.solved_at is not None]
    last = max([*solved_at, *(tree.num_simulations or 0 for tree in known)], default=0)
    shares = []
    for simulation in range(1, last + 1):
        count = sum(at <= simulation for at in solved_at)
        sure = binomtest(count, len(known)).proportion_ci(method="wilson")
        shares.append(SolvedShare(simulation, count / len(known), sure.low, sure.high))
    return shares


def solved_chart(shares: Sequence[SolvedShare]) -> Chart:
    """Share of trees solved by each simulation, with its interval as a band."""
    about = "no tree noted its simulations"
    if shares:
        about = f"{100 * shares[-1].share:.0f} % in the end, band: 95 % interval"
    return Chart("solved by simulation", about, "simulation", "trees", shares=tuple(shares))


def histogram(values: Sequence[int], *, title: str, xlabel: str, ylabel: str) -> Chart:
    """How often each whole number occurs; wide ranges share bars.

    Args:
        values: At least 0 each.
        title: Above the chart.
        xlabel: What the numbers are.
        ylabel: What is counted.
    """
    if not values:
        return Chart(title, f"no {ylabel}", xlabel, ylabel)
    low, high = min(values), max(values)
    per_bar = -(-(high - low + 1) // _MOST_BARS)
    counts = Counter((value - low) // per_bar for value in values)
    starts = range(low, high + 1, per_bar)
    labels = [str(start) if per_bar == 1 else f"{start}–{start + per_bar - 1}" for start in starts]
    bars = tuple(Bar(label, counts[i]) for i, label in enumerate(labels))
    about = f"mean {statistics.fmean(values):.1f}, {len(values)} {ylabel}"
    return Chart(title, about, xlabel, ylabel, bars=bars)
