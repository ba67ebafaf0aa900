from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import answer_turn, rollout, task, zoom_turn
from vigorl.core.contrast import Contrast
from vigorl.core.rollout import Rollout
from vigorl.evaluation.faithfulness import Faithfulness, Interval, measure_faithfulness
from vigorl.evaluation.report import EvaluationReport, QuestionOutcome

HITS, MISSES = zoom_turn(50, 20), zoom_turn(90, 90)


def probed(name: str, *, after: float, before: float = 1.0, looks: tuple = (HITS,)) -> Rollout:
    found = Contrast(before, after, before != after).numbers("crop_black")
    return rollout(*looks, answer_turn(), task=task(id=name), probes=found)


def measured(*rollouts: Rollout, clusters: dict[str, str] | None = None) -> Faithfulness:
    ids = {one.task.id: one.task.id for one in rollouts}
    found = measure_faithfulness(rollouts, clusters or ids)
    assert found is not None
    return found


def test_pairs_are_taken_question_by_question() -> None:
    several = [
        probed("a", after=0.0),
        probed("a", after=1.0),  # question a: 1.0 -> 0.5, half its answers change
        probed("b", after=0.0),
        probed("c", before=0.0, after=0.0),
        rollout(task=task(id="d"), probes={"steadiness": 1.0}),  # not asked
    ]
    effect = measured(*several).probes["crop_black"]
    assert (effect.before.value, effect.after.value) == pytest.approx((2 / 3, 1 / 6))
    assert effect.difference.value == pytest.approx(-0.5)  # mean of -0.5, -1, 0
    assert effect.changed.value == pytest.approx(0.5)  # mean of 0.5, 1, 0
    assert effect.difference.num_questions == 3
    assert -1 <= effect.difference.low < -0.5 < effect.difference.high <= 0


def test_what_is_paired_is_surer_than_either_side() -> None:
    """Every question loses as much, whatever it had: of that there is no doubt."""
    even = [probed(str(i), before=i / 10, after=i / 10 - 0.25) for i in range(3, 10)]
    effect = measured(*even).probes["crop_black"]
    assert effect.difference.low == pytest.approx(effect.difference.high) == pytest.approx(-0.25)
    assert effect.before.high - effect.before.low > 0.1


def test_clusters_are_drawn_whole() -> None:
    many = [probed(str(i), after=float(i < 10)) for i in range(20)]
    alone = measured(*many).probes["crop_black"].difference
    pictures = {str(i): "first" if i < 10 else "second" for i in range(20)}
    together = measured(*many, clusters=pictures).probes["crop_black"].difference
    assert (together.low, together.high) == (-1.0, 0.0)  # both halves the first, or the second
    assert -1 < alone.low < alone.value == together.value < alone.high < 0


def test_hits_are_of_rollouts_with_a_zoom_on_tasks_with_targets() -> None:
    both, none = (MISSES, HITS), ()
    several = [probed("a", after=0.0, looks=both), probed("b", after=0.0, looks=none)]
    unknown = probed("c", after=0.0)
    several.append(replace(unknown, task=task(id="c", targets=())))
    hits = measured(*several).hits
    assert (hits["zooms"].value, hits["last_zoom"].value) == (0.5, 1.0)
    assert hits["zooms"].num_questions == 1
    assert measured(several[2]).hits == {}


def test_without_a_contrast_there_is_nothing_to_say() -> None:
    assert measure_faithfulness([rollout(probes={"steadiness": 1.0})], {"disc": "disc"}) is None


def test_a_report_keeps_prints_and_logs_it() -> None:
    found = measured(probed("a", after=0.0), probed("b", after=1.0))
    asked = QuestionOutcome("a", "", "red", ("red",), (1.0,))
    report = EvaluationReport("x", (asked,), faithfulness=found)
    assert EvaluationReport.from_json(report.to_json()) == report
    row = next(line for line in report.table().splitlines() if "(crop_black)" in line)
    assert row.split()[3:9] == ["100.0", "%", "50.0", "%", "-50.0", "[-89.8,"]
    assert "last zooms that hit one" in report.table()
    flat = report.scalars()
    assert flat["eval/faithfulness/crop_black_difference"] == -0.5
    # Agresti and Min: -1 / 4 - 1.96 sqrt(2 / 4 - 1 / 16) / 2
    low = flat["eval/faithfulness/crop_black_difference_low"]
    assert low == pytest.approx(-0.898, abs=1e-3)
    assert flat["eval/faithfulness/zooms_hit"] == 1.0
    assert "faithfulness" not in str(EvaluationReport("x", (asked,)).scalars())
    assert isinstance(found.hits["zooms"], Interval)
