"""Small charts of a search's page, as inline SVG that follows the page's colours."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from vigorl.rollout.page_rollout import escape
from vigorl.search.metrics import SolvedShare

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 18, 36  # margins of the plot
_MOST_BARS = 14
_MOST_TICKS = 8


def solved_chart(shares: Sequence[SolvedShare]) -> str:
    """Share of trees solved by each simulation, with its interval as a band."""
    title = "solved by simulation"
    if not shares:
        return _no_chart(title, "no tree noted its simulations")
    first, last = shares[0].simulation, shares[-1].simulation

    def x(simulation: float) -> float:
        return _LEFT + 8 + (_plot_width() - 16) * (simulation - first) / max(1, last - first)

    line = " ".join(f"{x(s.simulation):.1f},{_y(s.share):.1f}" for s in shares)
    band = " ".join(
        [f"{x(s.simulation):.1f},{_y(s.high):.1f}" for s in shares]
        + [f"{x(s.simulation):.1f},{_y(s.low):.1f}" for s in reversed(shares)]
    )
    dots = "".join(
        f'<circle class="dot" cx="{x(s.simulation):.1f}" cy="{_y(s.share):.1f}" r="3"><title>'
        f"{100 * s.share:.0f} % by simulation {s.simulation} (95 %: {100 * s.low:.0f} to "
        f"{100 * s.high:.0f} %)</title></circle>"
        for s in shares
    )
    grid = "".join(_grid_line(share, f"{100 * share:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1))
    step = -(-len(shares) // _MOST_TICKS)
    ticks = "".join(_tick(x(s.simulation), str(s.simulation)) for s in shares[::step])
    body = f'{grid}<polygon class="band" points="{band}"/><polyline points="{line}"/>{dots}{ticks}'
    end = f"{100 * shares[-1].share:.0f} % in the end, band: 95 % interval"
    return _figure(title, end, body, xlabel="simulation", ylabel="trees")


def histogram(values: Sequence[int], *, title: str, xlabel: str, ylabel: str) -> str:
    """How often each whole number occurs; wide ranges share bars.

    Args:
        values: At least 0 each.
        title: Above the chart.
        xlabel: What the numbers are.
        ylabel: What is counted.
    """
    if not values:
        return _no_chart(title, f"no {ylabel}")
    low, high = min(values), max(values)
    per_bar = -(-(high - low + 1) // _MOST_BARS)
    counts = Counter((value - low) // per_bar for value in values)
    num_bars, most = (high - low) // per_bar + 1, max(counts.values())
    slot = min(64.0, _plot_width() / num_bars)
    offset = _LEFT + (_plot_width() - slot * num_bars) / 2
    bars = []
    for bar in range(num_bars):
        start = low + bar * per_bar
        label = str(start) if per_bar == 1 else f"{start}–{start + per_bar - 1}"
        top, middle = _y(counts[bar] / most), offset + slot * (bar + 0.5)
        bars.append(
            f'<rect class="bar" x="{middle - slot * 0.4:.1f}" y="{top:.1f}" '
            f'width="{slot * 0.8:.1f}" height="{_y(0) - top:.1f}" rx="1.5"><title>{label}: '
            f"{counts[bar]}</title></rect>"
        )
        if counts[bar]:
            bars.append(_text(middle, top - 4, str(counts[bar]), "count"))
        if bar % -(-num_bars // _MOST_TICKS) == 0 or per_bar == 1:
            bars.append(_tick(middle, label))
    about = f"mean {statistics.fmean(values):.1f}, {len(values)} {ylabel}"
    return _figure(title, about, _grid_line(0, "") + "".join(bars), xlabel=xlabel, ylabel=ylabel)


def _figure(title: str, about: str, body: str, *, xlabel: str, ylabel: str) -> str:
    middle = _LEFT + _plot_width() / 2
    labels = _text(middle, _HEIGHT - 4, xlabel, "axis") + (
        f'<text class="axis" transform="translate(11 {_y(0.5):.0f}) rotate(-90)">{ylabel}</text>'
    )
    return (
        f'<figure class="chart"><h3>{escape(title)}</h3><p class="small soft">{escape(about)}</p>'
        f'<svg role="img" aria-label="{escape(title)}: {escape(about)}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{body}{labels}</svg></figure>'
    )


def _no_chart(title: str, reason: str) -> str:
    return (
        f'<figure class="chart"><h3>{escape(title)}</h3><p class="small soft">{escape(reason)}</p>'
        "</figure>"
    )


def _plot_width() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _y(share: float) -> float:
    """Of the plot's height, from below."""
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _grid_line(share: float, label: str) -> str:
    y = _y(share)
    line = f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + (f'<text class="ytick" x="{_LEFT - 5}" y="{y + 4:.1f}">{label}</text>')


def _tick(x: float, label: str) -> str:
    return _text(x, _y(0) + 14, label, "xtick")


def _text(x: float, y: float, words: str, css: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
