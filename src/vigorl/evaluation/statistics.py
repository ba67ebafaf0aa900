"""How sure a score is, and whether two policies differ on the same questions.

A score is one number in [0, 1] per question: 0, 1 or in between for one rollout, the mean for
several. Questions are what was sampled; several rollouts of one question are not several questions,
so they never narrow an interval as such. All intervals are of 95 %, and what is resampled is so
with the same seed each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from vigorl.evaluation.resampling import (
    CONFIDENCE,
    cluster_places,
    expanded_interval,
    mean_of,
    swap_p_value,
    swapped,
)

_NUM_RESAMPLES = 9999


def mean_interval(scores: Sequence[float]) -> tuple[float, float]:
    """Interval of the mean of per-question scores.

    For scores of 0 and 1 it is Wilson's. Scores in between spread less than 0 and 1 would, so for
    them it is on the safe side: too wide rather than too narrow.

    Args:
        scores: [n] in [0, 1], one per question, n >= 1.
    Raises:
        ValueError: No score, or one outside [0, 1].
    """
    if not scores or not all(0 <= score <= 1 for score in scores):
        raise ValueError("need at least one score, all in [0, 1]")
    total, n = math.fsum(scores), len(scores)
    low, _ = wilson_interval(math.floor(total), n)
    _, high = wilson_interval(math.ceil(total), n)
    return (low, high)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a share; never leaves [0, 1], and works at 0 and n successes.

    Raises:
        ValueError: n < 1, or successes outside [0, n].
    Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return (float(interval.low), float(interval.high))


def difference_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Interval of mean(a) - mean(b), both measured on the same questions in the same order.

    For scores of 0 and 1, of which only questions where the two differ carry information, the
    adjusted Wald interval: it adds half a question to each cell of the 2x2 table, which keeps its
    coverage when few differ. For others a percentile bootstrap over questions.

    Args:
        a: [n] scores of the first policy.
        b: [n] scores of the second.
    Returns:
        (low, high), for scores of 0 and 1 within [-1, 1]; it holds 0 when the data cannot tell the
        two apart.
    Raises:
        ValueError: Lengths differ, or there is no question.
    Source: A. Agresti, Y. Min, Statistics in Medicine 24 (2005), 729-740.
    """
    differences = _differences(a, b)
    if not (_are_binary(a) and _are_binary(b)):
        return bootstrap_interval(differences.tolist())
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    only_a, only_b = (int((differences == one).sum()) + 0.5 for one in (1, -1))
    n = len(a) + 2
    difference = (only_a - only_b) / n
    half = z * math.sqrt((only_a + only_b) / n - difference**2) / math.sqrt(n)
    return (max(-1.0, difference - half), min(1.0, difference + half))


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap of a mean, for values without known bounds such as counts.

    Equal values give an interval without width, which is no certainty: the caller has to say so.

    Args:
        values: [n] one per question, n >= 1.
    Raises:
        ValueError: No value.
    """
    if not values:
        raise ValueError("need at least one value")
    draws = np.random.default_rng(0).integers(0, len(values), size=(_NUM_RESAMPLES, len(values)))
    tail = (1 - CONFIDENCE) / 2
    resampled = np.asarray(values, dtype=float)[draws].mean(axis=1)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return (float(low), float(high))


def cluster_interval(values: np.ndarray, num_clusters: int) -> tuple[float, float]:
    """Interval of any number of a benchmark, by a bootstrap that draws whole clusters.

    Where no draw differs from another (all clusters wholly right, or one cluster alone), a share is
    treated as that of as many questions as there are clusters: that none was wrong does not mean
    that none is.

    Args:
        values: [B] of each draw; see `resampling.drawn`.
        num_clusters: C >= 1.
    Returns:
        (low, high), NaN where the number does not exist.
    """
    low, high = expanded_interval(values, num_clusters)
    if high - low < 1e-12 and 0 <= low <= 1:
        return mean_interval([low] * num_clusters)
    return (low, high)


def clustered_error(scores: Sequence[float], clusters: Sequence[str]) -> float:
    """Standard error of a mean whose questions share their luck within clusters.

    sqrt(C / (C - 1) * sum over clusters of (sum of their (s_i - mean))^2) / n; for clusters of one
    question each the plain sqrt(sum of (s_i - mean)^2 / (n (n - 1))).

    Args:
        scores: [n] one per question.
        clusters: [n] the name of each one's cluster.
    Returns:
        In units of the scores; NaN for one cluster, which says nothing of others.
    Source: E. Miller, arXiv:2411.00640, eq. 4, with the correction C / (C - 1) for few clusters.
    """
    values = np.asarray(scores, dtype=float)
    residues = np.bincount(cluster_places(clusters), weights=values - values.mean())
    num = len(residues)
    if num < 2:
        return math.nan
    return math.sqrt(num / (num - 1) * float((residues**2).sum())) / len(values)


def paired_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of "the two policies are equally good", from the same questions.

    Under that hypothesis each question's difference could as well have the other sign. For scores
    of 0 and 1 this is the exact McNemar test; otherwise signs are flipped at random (all ways when
    there are few). Questions that share their luck need `resampling.swapped` of their clusters.

    Args:
        a: [n] scores of the first policy.
        b: [n] scores of the second, in the same order.
    Returns:
        1.0 when no question tells the two apart.
    Raises:
        ValueError: Lengths differ, or there is no question.
    """
    differences = _differences(a, b)
    differences = differences[np.abs(differences) > 1e-12]
    if len(differences) == 0:
        return 1.0
    if _are_binary(a) and _are_binary(b):
        num_better = int((differences > 0).sum())
        return float(stats.binomtest(num_better, len(differences)).pvalue)
    either_sign, num = swapped(mean_of(a), mean_of(b))
    return swap_p_value(either_sign, num)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that hold for all of several tests together, in the same order: the smallest times
    their number, the next times one less, and so on, never falling.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    adjusted, least, left = [0.0] * len(p_values), 0.0, len(p_values)
    for index in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        least = max(least, min(1.0, left * p_values[index]))
        adjusted[index], left = least, left - 1
    return adjusted


def _are_binary(scores: Sequence[float]) -> bool:
    return all(score in (0, 1) for score in scores)


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    if len(a) != len(b) or not a:
        raise ValueError(f"need two equally long, non-empty lists, got {len(a)} and {len(b)}")
    return np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
