"""Sums against the numbers they stand for, and draws and swaps of clusters against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vigorl.evaluation.resampling import (
    NUM_RESAMPLES,
    Sums,
    cluster_places,
    drawn,
    expanded_interval,
    mean_of,
    ratio,
    resampled_error,
    swap_p_value,
    swapped,
)


def test_sums_of_clusters():
    sums = mean_of([1, 0, 0.5]).of_clusters(["b", "a", "b"])
    assert sums.terms.tolist() == [[1.5, 2], [0, 1]]  # in order of first appearance
    assert sums.value == 0.5
    assert sums(np.array([[1, 0], [0, 2], [0, 0]]))[:2].tolist() == [0.75, 0.0]
    assert math.isnan(sums(np.zeros((1, 2)))[0])
    assert cluster_places(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))[0] == 0.5


def test_draws_of_clusters_spread_as_they_should():
    """20 clusters of 0 or 1, half and half: sd of their mean is sqrt(0.25 / 20)."""
    sums = mean_of([0, 1] * 10)
    values = drawn(sums, 20)
    assert values.shape == (NUM_RESAMPLES,)
    assert (values == drawn(sums, 20)).all()
    assert values.std() == pytest.approx(math.sqrt(0.25 / 20), rel=0.05)
    assert resampled_error(values, 20) == pytest.approx(math.sqrt(0.25 / 19), rel=0.05)
    assert math.isnan(resampled_error(values, 1))


def test_many_clusters_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch):
    sums = mean_of(np.arange(100.0))
    widths: list[int] = []

    def counted(weights: np.ndarray) -> np.ndarray:
        widths.append(len(weights))
        return sums(weights)

    monkeypatch.setattr("vigorl.evaluation.resampling._CELLS", 50_000)
    assert drawn(counted, 100).mean() == pytest.approx(49.5, rel=0.02)
    assert widths == [500, 500, 500, 499]


def test_the_fewer_clusters_the_further_out():
    values = np.linspace(0, 1, 100_001)
    # Student's 0.975 quantile at 9 is 2.2622; times sqrt(10 / 9) 2.3846; the normal tail 0.00855
    assert expanded_interval(values, 10) == pytest.approx((0.00855, 0.99145), abs=1e-5)
    assert expanded_interval(values, 10**6) == pytest.approx((0.025, 0.975), abs=1e-5)
    assert expanded_interval(values, 1) == (0.0, 1.0)
    assert expanded_interval(np.array([math.nan, 0.5]), 3) == (0.5, 0.5)
    assert math.isnan(expanded_interval(np.array([math.nan]), 3)[0])


def of(*rows: tuple[float, float]) -> Sums:
    return Sums(np.array(rows), lambda sums: ratio(sums[..., 0], sums[..., 1]))


def test_swaps_by_hand():
    a, b = of((3, 3), (2, 3), (1, 3), (5, 5)), of((1, 3), (1, 3), (0, 3), (5, 5))
    differences, num = swapped(a, b)
    assert num == 3  # the last cluster tells nothing
    assert differences(np.zeros((1, 3)))[0] == pytest.approx((11 - 7) / 14)
    assert differences(np.array([[1.0, 0, 1]]))[0] == pytest.approx((11 - 3 - (7 + 3)) / 14)
    # of 8 ways only none and all are as far from 0
    assert swap_p_value(differences, num) == 2 / 8
    assert swap_p_value(*swapped(a, a)) == 1.0


def test_many_swaps_are_drawn():
    """40 clusters, each +1: no draw of 9,999 is as extreme."""
    a, b = mean_of(np.ones(40)), mean_of(np.zeros(40))
    assert swap_p_value(*swapped(a, b)) == 1 / 10_000
    mixed = mean_of(np.tile([1.0, 0.0], 20)), mean_of(np.tile([0.0, 1.0], 20))
    assert swap_p_value(*swapped(*mixed)) == 1.0
