"""Numbers of a whole benchmark under other draws of its clusters: what intervals and tests rest on.

Questions that share a cluster (a picture, a map, the orders of one question's options) share their
luck, so clusters are what is drawn again, with all their questions:

    weights [resamples, clusters] (how often each is drawn)  ->  values [resamples]

Most numbers depend on questions only through sums over them (means, means of means, F1, shares of
pairs). As `Sums` they are two matrix products for all resamples together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
NUM_RESAMPLES = 1999
NUM_SWAPS = 9999
_CELLS = 4_000_000  # of the weights that are in memory together

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sums:
    """A number that depends on questions only through sums over them.

    Attributes:
        terms: [n, m] what each question, or each cluster, adds.
        combine: Of sums [..., m] the numbers [...]; NaN where there is none.
    """

    terms: np.ndarray
    combine: Callable[[np.ndarray], np.ndarray]

    @property
    def value(self) -> float:
        return float(self.combine(self.terms.sum(axis=0)))

    def of_clusters(self, clusters: Sequence[str]) -> Sums:
        """The same with a row per cluster, in order of first appearance; [n] names."""
        places = cluster_places(clusters)
        rows = np.zeros((len(set(clusters)), self.terms.shape[1]))
        np.add.at(rows, places, self.terms)
        return Sums(rows, self.combine)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return self.combine(weights @ self.terms)


def cluster_places(clusters: Sequence[str]) -> np.ndarray:
    """[n] the number of each question's cluster, from 0 in order of first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=int)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where that is 0 / 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below != 0)


def mean_of(scores: Sequence[float] | np.ndarray) -> Sums:
    """The plain mean of numbers, one per question."""
    values = np.asarray(scores, dtype=float)
    terms = np.stack([values, np.ones_like(values)], axis=-1)
    return Sums(terms, lambda sums: ratio(sums[..., 0], sums[..., 1]))


def drawn(statistic: Statistic, num_clusters: int) -> np.ndarray:
    """[NUM_RESAMPLES] values for clusters drawn with replacement, the same each time."""
    rng = np.random.default_rng(0)
    values = [statistic(weights) for weights in _draws(rng, num_clusters)]
    return np.concatenate(values)


def _draws(rng: np.random.Generator, num_clusters: int) -> Iterator[np.ndarray]:
    for rows in _chunks(NUM_RESAMPLES, num_clusters):
        chosen = rng.integers(0, num_clusters, size=(rows, num_clusters))
        chosen += num_clusters * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * num_clusters)
        yield counts.reshape(rows, num_clusters).astype(float)


def _chunks(total: int, width: int) -> Iterator[int]:
    rows = max(1, _CELLS // width)
    for start in range(0, total, rows):
        yield min(rows, total - start)


def expanded_interval(values: np.ndarray, num_clusters: int) -> tuple[float, float]:
    """95 % interval from resampled values: their percentiles, taken further out the fewer clusters
    there are, since resamples of C clusters spread by (C - 1) / C too little and their normal
    quantile should be Student's. Never leaves what the number can be.

    Values without width are no certainty; see `statistics.cluster_interval`.

    Source: T. Hesterberg, The American Statistician 69 (2015), 371-386, "expanded percentile".
    """
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return (math.nan, math.nan)
    tail = 0.0
    if num_clusters > 1:
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, num_clusters - 1))
        tail = float(stats.norm.cdf(-quantile * math.sqrt(num_clusters / (num_clusters - 1))))
    low, high = np.quantile(values, [tail, 1 - tail])
    return (float(low), float(high))


def resampled_error(values: np.ndarray, num_clusters: int) -> float:
    """Standard error from resampled values; NaN for one cluster, and where no draw has a value."""
    values = values[~np.isnan(values)]
    if num_clusters < 2 or len(values) == 0:
        return math.nan
    return float(values.std()) * math.sqrt(num_clusters / (num_clusters - 1))


def swapped(a: Sums, b: Sums) -> tuple[Statistic, int]:
    """The difference of two numbers of the same clusters when in some of them the two change
    places, which under "the two are equally good" is as likely.

    Returns:
        Of [B, D] in {0, 1} (1: change places) the differences [B]; and D, how many clusters tell
        the two apart.
    """
    same = (a.terms == b.terms).all(axis=1)
    first, second = a.terms[~same], b.terms[~same]
    common, total_a, total_b = a.terms[same].sum(axis=0), first.sum(axis=0), second.sum(axis=0)

    def differences(swaps: np.ndarray) -> np.ndarray:
        moved = swaps @ (second - first)
        return a.combine(common + total_a + moved) - b.combine(common + total_b - moved)

    return differences, len(first)


def swap_p_value(differences: Statistic, num: int, *, num_swaps: int = NUM_SWAPS) -> float:
    """Two-sided p-value of "the two are equally good" by swapping them in random clusters; by all
    ways to do so where there are not more.

    Args:
        differences: See `swapped`.
        num: How many clusters tell the two apart.
        num_swaps: How often.
    """
    if num == 0:
        return 1.0
    observed = abs(float(differences(np.zeros((1, num)))[0])) - 1e-12
    if 2**num <= num_swaps:
        ways = (np.arange(2**num)[:, None] >> np.arange(num)) & 1
        return float(np.mean(np.abs(differences(ways.astype(float))) >= observed))
    rng, extreme = np.random.default_rng(0), 0
    for rows in _chunks(num_swaps, num):
        swaps = rng.integers(0, 2, size=(rows, num)).astype(float)
        extreme += int((np.abs(differences(swaps)) >= observed).sum())
    return (1 + extreme) / (1 + num_swaps)
