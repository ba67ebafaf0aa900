"""The intervals hold the truth about as often as they say: a quick look at the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import KINDS, Kind, coverage, even, singles

ANSWERS = Kind("", 0.8, lambda rng: singles(rng, num=60, mean=0.8, samples=4))
PICTURES = Kind("", 0.7, lambda rng: even(rng, num=40, size=6, mean=0.7, icc=0.5))


def test_clusters_matter():
    """100 benchmarks: 95 % -+ 4.4 points are two standard errors."""
    clustered, unclustered = coverage(PICTURES, 100)
    assert 0.9 <= clustered <= 0.99
    assert unclustered < 0.8


def test_several_answers_a_question_do_not_narrow_the_interval_too_much():
    clustered, _ = coverage(ANSWERS, 100)
    assert 0.9 <= clustered <= 0.99


@pytest.mark.parametrize("name", KINDS)
def test_what_is_drawn_has_the_truth_in_its_middle(name: str):
    kind, rng = KINDS[name], np.random.default_rng(0)
    one = kind.draw(rng)
    low, high = one.interval(one.clusters)
    assert 0 < high - low < 0.25
    assert low - 0.1 < kind.truth < high + 0.1
