"""Intervals and tests against closed forms and against each other."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigorl.evaluation.statistics import (
    bootstrap_interval,
    cluster_interval,
    clustered_error,
    difference_interval,
    holm,
    mean_interval,
    paired_p_value,
    wilson_interval,
)


def test_binary_scores_give_wilson():
    assert mean_interval([1, 1, 0, 1]) == wilson_interval(3, 4)


def test_scores_between_are_at_least_as_wide_as_wilson_around_them():
    # 1.5 of 2: between the intervals of 1 of 2 and of 2 of 2
    assert mean_interval([0.5, 1.0]) == (wilson_interval(1, 2)[0], wilson_interval(2, 2)[1])
    assert mean_interval([1 / 3] * 3) == wilson_interval(1, 3)


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [-0.1], [math.nan]])
def test_scores_outside_their_range_are_refused(scores: list[float]):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        mean_interval(scores)


def test_mean_interval_covers_the_truth_as_often_as_it_says():
    """Four rollouts each of 60 questions whose own accuracies spread widely; 400 repeats."""
    rng, truth, covered = random.Random(0), 0.5, 0
    for _ in range(400):
        scores = []
        for _ in range(60):
            own = rng.choice([0.1, 0.5, 0.9])
            scores.append(sum(rng.random() < own for _ in range(4)) / 4)
        low, high = mean_interval(scores)
        covered += low <= truth <= high
    assert covered / 400 >= 0.95


def test_mcnemar_by_hand():
    # 5 discordant, all for a: 2 * (1/2)^5
    assert paired_p_value([1] * 8, [0] * 5 + [1] * 3) == pytest.approx(2 / 2**5)
    # 3 against 1: 2 * P(X >= 3 | n=4, 1/2) = 2 * 5/16
    assert paired_p_value([1, 1, 1, 0, 0], [0, 0, 0, 1, 0]) == pytest.approx(10 / 16)
    # no resampling: a p-value far below one in the number of resamples
    assert paired_p_value([1] * 40, [0] * 40) == pytest.approx(2 / 2**40)
    assert paired_p_value([1, 0], [1, 0]) == 1.0


def test_sign_flips_agree_with_mcnemar_where_both_hold():
    """One question at 0.5 in both changes nothing, but is no longer a 0 or 1."""
    a, b = [1.0] * 7 + [0.0], [0.0] * 6 + [1.0, 1.0]
    exact = paired_p_value(a, b)
    assert exact == pytest.approx(2 * 8 / 2**7)  # 6 against 1
    assert paired_p_value([*a, 0.5], [*b, 0.5]) == pytest.approx(exact)


def test_one_different_question_proves_nothing():
    assert paired_p_value([0.5, 1.0], [0.25, 1.0]) == 1.0


def test_difference_of_binary_scores_is_agresti_min():
    a, b = [1, 1, 0, 1, 0], [0, 1, 0, 0, 1]
    expected = difference_interval(list(map(bool, a)), list(map(bool, b)))
    assert difference_interval(a, b) == expected


def test_bootstrap_holds_the_difference_and_does_not_change():
    rng = random.Random(1)
    a = [rng.choice([0.5, 0.75, 1.0]) for _ in range(80)]
    b = [rng.choice([0.25, 0.5, 0.75]) for _ in range(80)]
    low, high = difference_interval(a, b)
    mean = (sum(a) - sum(b)) / 80
    assert 0 < low < mean < high
    # half as wide as a t interval on both sides, to within a tenth
    spread = math.sqrt(sum((x - y - mean) ** 2 for x, y in zip(a, b, strict=True)) / 79)
    assert high - low == pytest.approx(2 * 1.96 * spread / math.sqrt(80), rel=0.1)
    assert difference_interval(a, b) == (low, high)
    assert difference_interval(b, a)[1] == pytest.approx(-low, abs=0.02)


def test_the_error_of_clusters_by_hand():
    # mean 1/2; the clusters' sums of residues 1 and -1: sqrt(2 / 1 * (1 + 1)) / 4
    assert clustered_error([1, 1, 0, 0], ["a", "a", "b", "b"]) == pytest.approx(0.5)
    # each alone: sqrt(4 / 3 * 4 * 0.25) / 4 = sqrt(1 / (4 * 3)), the plain error of a mean
    assert clustered_error([1, 1, 0, 0], list("abcd")) == pytest.approx(math.sqrt(1 / 12))
    assert math.isnan(clustered_error([1, 0], ["a", "a"]))


def test_clustered_error_is_millers_equation_4_but_for_few_clusters():
    rng = random.Random(2)
    scores = [float(rng.random() < 0.7) for _ in range(30)]
    clusters = [str(i % 7) for i in range(30)]
    mean = sum(scores) / 30
    cross = sum(
        (scores[i] - mean) * (scores[j] - mean)
        for i in range(30)
        for j in range(30)
        if clusters[i] == clusters[j]
    )
    assert clustered_error(scores, clusters) == pytest.approx(math.sqrt(7 / 6 * cross) / 30)


def test_clusters_that_are_all_right_prove_as_much_as_so_many_questions():
    assert cluster_interval(np.ones(99), 20) == wilson_interval(20, 20)
    assert cluster_interval(np.full(99, 0.5), 1) == (0.0, 1.0)  # one cluster says nothing
    assert cluster_interval(np.full(99, 7.0), 20) == (7.0, 7.0)  # no share


def test_holm_by_hand():
    # 3 x 0.01; 2 x 0.03; 1 x 0.04, but not below the one before
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_bootstrap_of_counts():
    counts = [0] * 60 + [1] * 30 + [4] * 10  # mean 0.7, sample variance 1.42
    low, high = bootstrap_interval(counts)
    assert low < 0.7 < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(1.42 / 100), rel=0.1)
    assert bootstrap_interval(counts) == (low, high)
    assert bootstrap_interval([3, 3]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        paired_p_value([1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="equally long"):
        difference_interval([0.5], [0.5, 0.25])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # z = 1.959964: 0.5 -+ z * sqrt(0.025 + z^2 / 400) / (1 + z^2 / 10) = 0.5 -+ 0.263407
        (5, 10, 0.236593, 0.763407),
        (0, 10, 0.0, 0.277533),  # z^2 / (n + z^2) = 3.841459 / 13.841459
        (10, 10, 0.722467, 1.0),
    ],
)
def test_wilson_interval(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_interval_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, n)


def test_paired_difference_by_hand():
    a = [True] * 8 + [False] * 2
    b = [True] * 4 + [False] * 6
    # a alone is right 4 times, b alone never: (4.5 - 0.5) / 12 = 1/3
    # half width 1.959964 * sqrt(5 / 12 - 1 / 9) / sqrt(12) = 0.312754
    expected = (1 / 3 - 0.312754, 1 / 3 + 0.312754)
    assert difference_interval(a, b) == pytest.approx(expected, abs=1e-6)


def test_paired_difference_of_the_same_answers_holds_zero():
    low, high = difference_interval([True, False] * 20, [True, False] * 20)
    assert low == pytest.approx(-high)
    assert low < 0 < high


def test_paired_difference_refuses_unpaired_lists():
    for a, b in [([True], []), ([], [])]:
        with pytest.raises(ValueError, match="equally long"):
            difference_interval(a, b)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_holds_the_share(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_difference_is_antisymmetric(pairs):
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    low, high = difference_interval(a, b)
    assert -1 <= low <= high <= 1
    assert difference_interval(b, a) == pytest.approx((-high, -low))
