"""How often a 95 % interval holds the truth: benchmarks drawn from a world whose truth is known.

    python benchmarks/coverage.py               # 2,000 of each kind, ten minutes on one core
    python benchmarks/coverage.py --num 200

Each kind has the number and the sizes of clusters of a real benchmark, and clusters that share
their luck (`icc`: how alike two questions of a cluster are, 0 not at all, 1 wholly). Beside the
interval over clusters stands the one that takes every question for a cluster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vigorl.evaluation.metrics import F1, first_ratio, mean_of_parts
from vigorl.evaluation.report import Accuracy
from vigorl.evaluation.resampling import Sums, drawn, expanded_interval, mean_of, ratio
from vigorl.evaluation.statistics import cluster_interval

Interval = tuple[float, float]
Rng = np.random.Generator


@dataclass(frozen=True)
class Draw:
    """One benchmark that was drawn.

    Attributes:
        sums: Its number, a row per question.
        clusters: [n] whose each question is.
        is_mean: Whether the number is the mean of scores in [0, 1], which has Wilson's interval
            where every question is a cluster.
    """

    sums: Sums
    clusters: np.ndarray
    is_mean: bool = True

    def interval(self, clusters: np.ndarray) -> Interval:
        names = [str(one) for one in clusters]
        if self.is_mean:
            found = Accuracy.of(self.sums.terms[:, 0].tolist(), names)
            return found.low, found.high
        rows = self.sums.of_clusters(names)
        return cluster_interval(drawn(rows, len(rows.terms)), len(rows.terms))


@dataclass(frozen=True)
class Difference:
    """Two models on one benchmark that was drawn; the number is the difference of their means."""

    a: Sums
    b: Sums
    clusters: np.ndarray

    def interval(self, clusters: np.ndarray) -> Interval:
        names = [str(one) for one in clusters]
        a, b = self.a.of_clusters(names), self.b.of_clusters(names)
        values = drawn(lambda weights: a(weights) - b(weights), len(a.terms))
        return expanded_interval(values, len(a.terms))


@dataclass(frozen=True)
class Kind:
    """A kind of benchmark.

    Attributes:
        about: What it is like.
        truth: What the intervals should hold.
        draw: One of it.
        unclustered_every: Every how manieth is looked at without clusters too (many questions are
            slow to draw again).
    """

    about: str
    truth: float
    draw: Callable[[Rng], Draw | Difference]
    unclustered_every: int = 1


def shares(rng: Rng, mean: float, icc: float, num: int) -> np.ndarray:
    """[num] how often each cluster's questions are answered right: a Beta distribution whose
    questions correlate by `icc` within a cluster.
    """
    strength = (1 - icc) / icc
    return rng.beta(mean * strength, (1 - mean) * strength, size=num)


def hits(rng: Rng, chances: np.ndarray) -> np.ndarray:
    return (rng.random(len(chances)) < chances).astype(float)


def singles(rng: Rng, *, num: int, mean: float, samples: int) -> Draw:
    """Every question is a cluster; it is asked `samples` times."""
    own = shares(rng, mean, 0.5, num)
    return Draw(mean_of(rng.binomial(samples, own) / samples), np.arange(num))


def even(rng: Rng, *, num: int, size: int, mean: float, icc: float) -> Draw:
    clusters = np.repeat(np.arange(num), size)
    return Draw(mean_of(hits(rng, shares(rng, mean, icc, num)[clusters])), clusters)


def uneven(rng: Rng, *, num: int, size: float, mean: float, icc: float) -> Draw:
    """Sizes that vary by half of their mean, as questions per picture do."""
    sizes = 1 + rng.negative_binomial(4, 4 / (4 + size - 1), size=num)
    clusters = np.repeat(np.arange(num), sizes)
    return Draw(mean_of(hits(rng, shares(rng, mean, icc, num)[clusters])), clusters)


_RECALL, _FALSE = 0.83, 0.09


def yes_no(rng: Rng, *, num: int, half: int) -> Draw:
    """As many questions with "yes" as with "no" on each picture; the number is F1."""
    is_positive = np.tile(np.repeat([True, False], half), num)
    clusters = np.repeat(np.arange(num), 2 * half)
    recall, false = shares(rng, _RECALL, 0.15, num), shares(rng, _FALSE, 0.1, num)
    yes = hits(rng, np.where(is_positive, recall[clusters], false[clusters]))
    right_no = (1 - yes) * ~is_positive
    terms = [yes * is_positive, yes * ~is_positive, is_positive, np.ones_like(yes), right_no]
    above, below = np.array(F1.above), np.array(F1.below)
    combined = Sums(np.stack(terms, axis=-1), lambda sums: ratio(sums @ above, sums @ below))
    return Draw(combined, clusters, is_mean=False)


_PARTS = np.linspace(0.35, 0.95, 14)


def parts(rng: Rng, *, pictures: int, size: int, icc: float) -> Draw:
    """The mean over 14 parts of `pictures` pictures each, of one and `size` questions by turns."""
    chances = np.concatenate([shares(rng, mean, icc, pictures) for mean in _PARTS])
    sizes = np.where(np.arange(len(chances)) % 2, size, 1)
    clusters = np.repeat(np.arange(len(chances)), sizes)
    place = clusters // pictures
    terms = np.zeros((len(clusters), len(_PARTS), 2))
    terms[np.arange(len(clusters)), place, 0] = hits(rng, chances[clusters])
    terms[np.arange(len(clusters)), place, 1] = 1
    return Draw(Sums(terms.reshape(len(clusters), -1), mean_of_parts), clusters, is_mean=False)


_PAIR_MEAN, _PAIR_ICC = 0.6, 0.3


def pairs(rng: Rng, *, num: int) -> Draw:
    """The share of pairs whose both questions are right."""
    own = shares(rng, _PAIR_MEAN, _PAIR_ICC, num)
    right = hits(rng, own) * hits(rng, own)
    terms = np.zeros((2 * num, 2))
    terms[::2, 0], terms[::2, 1] = right, 1
    return Draw(Sums(terms, first_ratio), np.repeat(np.arange(num), 2), is_mean=False)


def overlaps(rng: Rng, *, num: int) -> Draw:
    """A mean of overlaps of boxes, a third of which are 0."""
    values = np.where(rng.random(num) < 1 / 3, 0.0, rng.beta(4, 2, size=num))
    return Draw(mean_of(values), np.arange(num), is_mean=False)


def two_models(rng: Rng, *, num: int, size: int, means: tuple[float, float]) -> Difference:
    """What is hard for one is hard for the other: half of the clusters' luck is common."""
    clusters = np.repeat(np.arange(num), size)
    common = rng.random(num) < 0.5
    a, b = (shares(rng, mean, 0.15, num) for mean in means)
    b = np.where(common, np.clip(a + means[1] - means[0], 0, 1), b)
    scores = (mean_of(hits(rng, chances[clusters])) for chances in (a, b))
    return Difference(*scores, clusters)


KINDS: Mapping[str, Kind] = {
    "V*, accuracy": Kind(
        "191 questions", 0.8, lambda rng: singles(rng, num=191, mean=0.8, samples=1)
    ),
    "V*, avg@8": Kind(
        "191 questions, 8 answers each", 0.8, lambda rng: singles(rng, num=191, mean=0.8, samples=8)
    ),
    "POPE, accuracy": Kind(
        "500 pictures of 18", 0.87, lambda rng: even(rng, num=500, size=18, mean=0.87, icc=0.1)
    ),
    "POPE, F1": Kind(
        "500 pictures of 18",
        2 * _RECALL / (_RECALL + _FALSE + 1),
        lambda rng: yes_no(rng, num=500, half=9),
        unclustered_every=5,
    ),
    "GQA, accuracy": Kind(
        "398 pictures of about 31",
        0.6,
        lambda rng: uneven(rng, num=398, size=31, mean=0.6, icc=0.05),
    ),
    "HR-Bench, accuracy": Kind(
        "200 questions in 4 orders", 0.7, lambda rng: even(rng, num=200, size=4, mean=0.7, icc=0.7)
    ),
    "BLINK, macro": Kind(
        "14 parts of 90 pictures with 1 or 2 questions",
        float(_PARTS.mean()),
        lambda rng: parts(rng, pictures=90, size=2, icc=0.4),
    ),
    "MMVP, pairs": Kind(
        "150 pairs",
        _PAIR_MEAN**2 + _PAIR_ICC * _PAIR_MEAN * (1 - _PAIR_MEAN),
        lambda rng: pairs(rng, num=150),
    ),
    "TreeBench, mIoU": Kind(
        "405 questions", 2 / 3 * 4 / 6, lambda rng: overlaps(rng, num=405)
    ),
    "ReasonMap, accuracy": Kind(
        "30 maps of about 34", 0.5, lambda rng: uneven(rng, num=30, size=34, mean=0.5, icc=0.1)
    ),
    "POPE, difference of two models": Kind(
        "500 pictures of 18",
        0.03,
        lambda rng: two_models(rng, num=500, size=18, means=(0.88, 0.85)),
        unclustered_every=10,
    ),
}  # fmt: skip


def coverage(kind: Kind, num: int, *, seed: int = 0) -> tuple[float, float]:
    """Shares of `num` drawn benchmarks whose interval holds the truth: over clusters, and with
    every question taken for one.
    """
    rng = np.random.default_rng(seed)
    clustered, unclustered = [], []
    for index in range(num):
        one = kind.draw(rng)
        clustered.append(_holds(one.interval(one.clusters), kind.truth))
        if index % kind.unclustered_every == 0:
            alone = np.arange(len(one.clusters))
            unclustered.append(_holds(one.interval(alone), kind.truth))
    return float(np.mean(clustered)), float(np.mean(unclustered))


def _holds(interval: Interval, truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=2000, help="benchmarks of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    given = parser.parse_args()
    print("| like | clusters | truth | 95 % interval covers | without clusters |")
    print("|---|---|---|---|---|")
    for name, kind in KINDS.items():
        if given.only not in name:
            continue
        found, without = coverage(kind, given.num, seed=given.seed)
        cells = (name, kind.about, f"{100 * kind.truth:.1f} %", f"{100 * found:.1f} %")
        print(f"| {' | '.join(cells)} | {100 * without:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
