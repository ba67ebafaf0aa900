"""The figures are written, refuse what they cannot show, and labels do not touch."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.plots import plot_bars_with_intervals, plot_curves, spread_apart

CURVES = {"zoom": [(0, 0.2), (1, 0.8)], "one look": [(0, 0.2), (1, 0.25)]}


def test_curves_are_written(tmp_path: Path):
    path = plot_curves(
        CURVES,
        tmp_path / "new" / "curves.png",
        title="Zooming",
        ylabel="accuracy",
        chance=0.25,
        is_share=True,
    )
    with Image.open(path) as image:
        # the first colour is there, and the figure is not all ground
        assert (0, 0x72, 0xB2) in {
            colour for _, colour in (image.convert("RGB").getcolors(10**6) or [])
        }


def test_bars_are_written(tmp_path: Path):
    bars = {"before": (0.5, 0.4, 0.6), "after": (1.0, 0.9, 1.0)}
    path = plot_bars_with_intervals(
        bars, tmp_path / "bars.svg", title="x", xlabel="y", chance=0.25, highlight=["after"]
    )
    assert path.read_text().startswith("<?xml")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path):
    curves = {"path": tmp_path / "x.png", "title": "t", "ylabel": "y"}
    for series in ({}, {"empty": []}):
        with pytest.raises(ValueError, match="at least one series"):
            plot_curves(series, **curves)
    bars = {"path": tmp_path / "x.png", "title": "t", "xlabel": "x"}
    with pytest.raises(ValueError, match="at least one bar"):
        plot_bars_with_intervals({}, **bars)
    with pytest.raises(ValueError, match="outside its interval"):
        plot_bars_with_intervals({"a": (0.5, 0.6, 0.7)}, **bars)
    with pytest.raises(ValueError, match="no bars named"):
        plot_bars_with_intervals({"a": (0.5, 0.4, 0.7)}, **bars, highlight=["b"])


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([3.0], [3.0]),
        ([0.0, 10.0, 20.0], [0.0, 10.0, 20.0]),
        ([5.0, 5.0, 5.0], [-5.0, 5.0, 15.0]),
        # the middle pair moves apart, and the block then meets the first
        ([0.0, 12.0, 12.0], [-2.0, 8.0, 18.0]),
    ],
)
def test_labels_are_moved_apart_around_their_mean(places: list[float], expected: list[float]):
    assert spread_apart(places, least=10.0) == pytest.approx(expected)
