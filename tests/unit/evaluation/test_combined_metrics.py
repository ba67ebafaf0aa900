"""Shares, weights and differences."""

from __future__ import annotations

import math

import pytest

from vigorl.core.errors import DataError
from vigorl.evaluation.combined_metrics import Difference, Share, WeightedMean
from vigorl.evaluation.metrics import Mean, measured
from vigorl.evaluation.report import QuestionOutcome


def outcome(name: str, score: float, **tags: str) -> QuestionOutcome:
    return QuestionOutcome(name, "", "x", ("x",), (score,), cluster=name[:2], tags=tags)


def test_a_share_counts_labels_and_not_scores():
    four = [outcome(str(i), 0.0, kind="open" if i else "closed", set="ab"[i % 2]) for i in range(4)]
    assert Share(("kind", "open"))(four) == 3 / 4
    assert Share(("kind", "open"), only=("set", "a"))(four) == 1 / 2
    assert math.isnan(Share(("kind", "open"), only=("set", "c"))(four))


def test_weights_go_by_a_label():
    three = [outcome("a", 1.0, level="easy"), outcome("b", 0.0, level="hard"),
             outcome("c", 0.5, level="hard")]  # fmt: skip
    metric = WeightedMean("level", {"easy": 1.0, "hard": 2.0})
    assert metric(three) == pytest.approx((1 * 1 + 2 * 0 + 2 * 0.5) / 5)
    with pytest.raises(DataError, match=r"question d: there is no weight for level='odd'"):
        metric([*three, outcome("d", 1.0, level="odd")])


def test_a_difference_is_paired_by_clusters():
    """Each of 20 questions is right in both views or in none, so the gap is 0 in every draw, though
    each view's own share is not sure at all.
    """
    both = [
        outcome(f"{i:02}/{view}", float(i % 2), view=view)
        for i in range(20)
        for view in ("full", "crop")
    ]
    gap = Difference(Mean(("view", "crop")), Mean(("view", "full")))
    found = measured(gap, both)
    alone = measured(gap.of, both)
    assert found.value == 0.0
    assert found.high - found.low < 0.3 < alone.high - alone.low
    one_better = [*both[:1], outcome("00/crop", 1.0, view="crop"), *both[2:]]
    assert gap(one_better) == pytest.approx(1 / 20)
