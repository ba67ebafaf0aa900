"""What a run has left, as a notebook's cell shows it."""

from __future__ import annotations

from tests import builders
from vigorl.results import Metrics, RecordedRollout, Rollouts, Series


def test_rollouts_are_grouped_by_their_prompt() -> None:
    scored = [
        builders.scored(builders.rollout(group=group, index=index))
        for group in ("a", "b")
        for index in range(2)
    ]
    found = Rollouts(RecordedRollout(one.rollout, one.reward) for one in scored)
    assert [[one.rollout.index for one in group] for group in found.groups()] == [[0, 1]] * 2
    assert [one.rollout.group for one in found.where(lambda one: one.rollout.index == 1)] == [
        "a",
        "b",
    ]
    assert repr(found) == "<4 rollouts of 2 prompts, 4 right>"


def test_metrics_are_a_table_with_first_and_last() -> None:
    metrics = Metrics({"reward/total": Series((1, 2, 3), (0.25, 0.5, 0.75))})
    assert repr(metrics) == "<1 metric: reward/total>"
    (row,) = [line for line in metrics._repr_html_().split("<tr>") if "reward/total" in line]
    assert [one in row for one in ("0.25", "0.75", ">3<")] == [True] * 3
