from __future__ import annotations

import pytest

from vigorl.pages.curves import Curve, plot_of, spread_over


def test_a_curve_in_svg_units():
    """x from 60 to 322, y from 154 (0 %) up to 18 (100 %)."""
    plot = plot_of("accuracy", [Curve("val", ((0.0, 0.25), (2.0, 1.0)))], is_share=True)
    assert plot is not None
    (curve,) = plot.curves
    assert curve.path == "60.0,120.0 322.0,18.0"
    assert [tick.label for tick in plot.yticks] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    assert [(tick.at, tick.label) for tick in plot.xticks] == [
        (60.0, "0"),
        (191.0, "1"),
        (322.0, "2"),
    ]
    assert [dot.label for dot in curve.dots] == [
        "val: 25 % after 0 phases",
        "val: 100 % after 2 phases",
    ]
    assert curve.last == "100 %"


def test_a_band_goes_there_along_the_highest_and_back_along_the_lowest():
    means, band = spread_over([((0.0, 1.0), (1.0, 3.0)), ((0.0, 3.0), (1.0, 3.0), (2.0, 9.0))])
    assert means == ((0.0, 2.0), (1.0, 3.0))  # where both have a value
    assert band == ((0.0, 1.0, 3.0), (1.0, 3.0, 3.0))
    plot = plot_of("reward", [Curve("arm", means, band)])
    assert plot is not None
    assert plot.curves[0].band == "60.0,18.0 322.0,18.0 322.0,18.0 60.0,108.7"  # y from 0 to 3
    assert [tick.label for tick in plot.yticks] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("values", "labels", "unit"),
    [
        ((0.0, 0.00123), ["0", "0.0005", "0.001", "0.0015"], ""),
        ((1.1e-5, 1.19e-5), ["1.1", "1.125", "1.15", "1.175", "1.2"], "× 1e-5"),
        ((-3e-9, 1e-9), ["-3", "-2", "-1", "0", "1"], "× 1e-9"),
        ((0.0, 3.9e6), ["0", "1", "2", "3", "4"], "× 1e6"),
        ((1.00001, 1.00004), ["1.00001", "1.00002", "1.00003", "1.00004"], ""),
    ],
)
def test_numbers_beside_a_plot_fit_and_differ(
    values: tuple[float, float], labels: list[str], unit: str
) -> None:
    plot = plot_of("tiny", [Curve("a", tuple(enumerate(values)))])
    assert plot is not None
    assert ([tick.label for tick in plot.yticks], plot.unit) == (labels, unit)


def test_long_curves_are_thinned_and_keep_their_end():
    points = tuple((float(i), float(i)) for i in range(1000))
    plot = plot_of("many", [Curve("a", points)])
    assert plot is not None
    assert len(plot.curves[0].path.split()) <= 241
    assert plot.curves[0].path.endswith("322.0,18.1")  # 999 of 1000
    assert len(plot.curves[0].dots) == 1


def test_values_that_never_change_and_single_points_can_be_drawn():
    for value in (0.0, -2.0, 1e-9, 5.0):
        plot = plot_of("flat", [Curve("a", ((3.0, value),))])
        assert plot is not None
        assert "nan" not in plot.curves[0].path


def test_nothing_to_draw_is_no_plot():
    assert plot_of("empty", [Curve("a", ())]) is None


@pytest.mark.parametrize(
    "values", [(0.0, 1e-16), (1.0, 1.0 + 2**-52), (1e-14, 2e-14), (-1e-20, 1e-20), (1e-30, 1e-30)]
)
def test_values_that_are_tiny_or_differ_by_rounding_are_drawn(values: tuple[float, float]) -> None:
    plot = plot_of("x", [Curve("a", tuple(enumerate(values)))])
    assert plot is not None
    heights = [float(one.partition(",")[2]) for one in plot.curves[0].path.split()]
    assert all(18 <= one <= 154 for one in heights)
