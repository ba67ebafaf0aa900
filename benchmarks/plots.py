"""Two figures: curves over steps, and scores with their intervals.

Names stand at the data; there is no legend to look up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

# Okabe and Ito without yellow and black; the order keeps neighbours apart for every kind of sight.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLES = ("-", "--", "-.", ":")
_INK, _SOFT, _GRID = "#222222", "#6b6b6b", "#e3e3e0"
_HALO = withStroke(linewidth=3.2, foreground="white")  # shows a dark line on a dark bar
_LABEL_PT = 12.0  # least distance between the middles of two labels, in points


def plot_curves(
    series: Mapping[str, Sequence[tuple[float, float]]],
    path: str | os.PathLike[str],
    *,
    title: str,
    ylabel: str,
    xlabel: str = "step",
    chance: float | None = None,
    is_share: bool = False,
) -> Path:
    """Draw one line per series, named at its end.

    Args:
        series: Name to (step, value) pairs in order of steps; one pair or more each.
        path: Where to write; the ending picks the format (png, svg, pdf).
        title: What the figure says, on top.
        ylabel: What is measured.
        xlabel: What a step is.
        chance: A dotted line for blind guessing.
        is_share: Values in [0, 1], shown as per cent on a full axis.
    Returns:
        The path.
    Raises:
        ValueError: No series, or an empty one.
    """
    if not series or not all(series.values()):
        raise ValueError("need at least one series, none of them empty")
    figure, axes = _figure(7.2, 4.2, title=title)
    for i, pairs in enumerate(series.values()):
        colour, style = COLOURS[i % len(COLOURS)], _STYLES[i // len(COLOURS) % len(_STYLES)]
        steps, values = [step for step, _ in pairs], [value for _, value in pairs]
        # unclipped, so that a line along the edge of the axes is seen whole
        line = {"color": colour, "clip_on": False, "zorder": 3}
        axes.plot(steps, values, style, linewidth=2, solid_capstyle="round", **line)
        axes.plot(steps[-1:], values[-1:], "o", markersize=4.5, **line)
    _finish_axes(axes, ylabel=ylabel, is_share=is_share, is_y=True)
    axes.set_xlabel(xlabel, color=_SOFT)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.02)
    if chance is not None:
        axes.axhline(chance, color=_SOFT, linewidth=1, linestyle=(0, (1, 2)))
    _label_ends(figure, axes, series, chance=chance)
    return _save(figure, path)


def plot_bars_with_intervals(
    bars: Mapping[str, tuple[float, float, float]],
    path: str | os.PathLike[str],
    *,
    title: str,
    xlabel: str,
    chance: float | None = None,
    highlight: Sequence[str] = (),
) -> Path:
    """Draw one lying bar per name, with its interval and its value written beside it in per cent.

    Args:
        bars: Name to (value, low, high) in [0, 1], drawn from top to bottom.
        path: Where to write; the ending picks the format (png, svg, pdf).
        title: What the figure says, on top.
        xlabel: What is measured.
        chance: A dotted line for blind guessing.
        highlight: Names in full colour while the others step back; none highlights all.
    Returns:
        The path.
    Raises:
        ValueError: No bar, a value outside its interval, or a highlighted name without a bar.
    """
    _check_bars(bars, highlight)
    figure, axes = _figure(7.2, 1.4 + 0.42 * len(bars), title=title, pad_pt=22)
    names, places = list(bars), [-float(i) for i in range(len(bars))]
    colours = [COLOURS[0] if not highlight or name in highlight else "#a9bccb" for name in names]
    values = [value for value, _, _ in bars.values()]
    axes.barh(places, values, height=0.62, color=colours)
    for place, (value, low, high) in zip(places, bars.values(), strict=True):
        axes.plot(
            [low, high], [place, place], color=_INK, linewidth=1.4, marker="|", markersize=9,
            markeredgewidth=1.4, path_effects=[_HALO], clip_on=False,
        )  # fmt: skip
        text = f"{100 * value:.1f} %"
        axes.text(high + 0.015, place, text, va="center", color=_INK, fontweight="bold")
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelcolor=_INK, labelsize=10)
    _finish_axes(axes, ylabel=xlabel, is_share=True, is_y=False)
    axes.set_xlim(0, 1.1)
    axes.spines["bottom"].set_visible(False)
    if chance is not None:
        axes.axvline(chance, color=_INK, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(
            f"chance {_tick(chance)}",
            (chance, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="center", color=_SOFT, fontsize=8.5,
        )  # fmt: skip
    return _save(figure, path)


def _check_bars(bars: Mapping[str, tuple[float, float, float]], highlight: Sequence[str]) -> None:
    if not bars:
        raise ValueError("need at least one bar")
    for name, (value, low, high) in bars.items():
        if not low <= value <= high:
            raise ValueError(f"bar {name!r}: {value} lies outside its interval [{low}, {high}]")
    unknown = [name for name in highlight if name not in bars]
    if unknown:
        raise ValueError(f"highlight: there are no bars named {unknown}")


def _figure(
    width_in: float, height_in: float, *, title: str, pad_pt: float = 14
) -> tuple[Figure, Axes]:
    # A Figure of its own: no pyplot, so no global state and no choice of backend.
    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=_INK, pad=pad_pt)
    return figure, axes


def _finish_axes(axes: Axes, *, ylabel: str, is_share: bool, is_y: bool) -> None:
    """The look of both figures; the values are on the y axis, or on the x axis of lying bars."""
    axes.set_axisbelow(True)
    axes.grid(axis="y" if is_y else "x", color=_GRID, linewidth=0.8)
    axes.tick_params(colors=_SOFT, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_SOFT)
    (axes.set_ylabel if is_y else axes.set_xlabel)(ylabel, color=_SOFT)
    if is_share:
        (axes.set_ylim if is_y else axes.set_xlim)(0, 1.02)
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        (axes.set_yticks if is_y else axes.set_xticks)(ticks, [*map(_tick, ticks)])


def _tick(share: float) -> str:
    return f"{100 * share:.0f} %"


def _label_ends(
    figure: Figure,
    axes: Axes,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    chance: float | None,
) -> None:
    """Names at the height of the lines' ends, moved apart where they would touch."""
    labels = [
        (pairs[-1][1], name, COLOURS[i % len(COLOURS)])
        for i, (name, pairs) in enumerate(series.items())
    ]
    if chance is not None:
        labels.append((chance, "chance", _SOFT))
    labels.sort(key=lambda label: label[0])
    low, high = axes.get_ylim()
    height_pt = axes.get_position().height * figure.get_figheight() * 72
    wanted = [(value - low) / (high - low) * height_pt for value, _, _ in labels]
    for place, (_, name, colour) in zip(spread_apart(wanted, least=_LABEL_PT), labels, strict=True):
        axes.annotate(
            name, (1.0, place / height_pt), xycoords="axes fraction", xytext=(6, 0),
            textcoords="offset points", va="center", color=colour, fontsize=9.5,
            fontweight="bold" if colour != _SOFT else "normal", annotation_clip=False,
        )  # fmt: skip


def spread_apart(places: Sequence[float], *, least: float) -> list[float]:
    """Ascending places moved as little as possible so that neighbours are `least` apart.

    Places that are too near form a block around their mean.

    >>> spread_apart([0.0, 1.0, 20.0], least=10.0)
    [-4.5, 5.5, 20.0]
    """
    blocks: list[list[float]] = []  # the wanted places of each block

    def start(block: list[float]) -> float:
        return sum(block) / len(block) - least * (len(block) - 1) / 2

    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and start(blocks[-1]) - start(blocks[-2]) < least * len(blocks[-2]):
            last = blocks.pop()
            blocks[-1] += last
    return [start(block) + i * least for block in blocks for i in range(len(block))]


def _save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=160)
    return target
