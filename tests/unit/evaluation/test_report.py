"""What a report says, that it survives JSON, and that two compare question by question."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vigorl.core.errors import DataError
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import Accuracy, EvaluationReport, QuestionOutcome
from vigorl.evaluation.statistics import wilson_interval


def question(
    name: str, *scores: float, category: str = "colour", chance: float | None = 0.25
) -> QuestionOutcome:
    answers = tuple("red" if score else None for score in scores)
    return QuestionOutcome(name, category, "red", answers, tuple(map(float, scores)), chance)


def report(*questions: QuestionOutcome, name: str = "vstar") -> EvaluationReport:
    metrics = {"rollout/accuracy": 0.5, "rollout/turns_mean": 2.25, "rollout/zoom_hit_frac": 0.75}
    return EvaluationReport(name, questions, metrics, policy_version=7)


FOUR = (
    question("a", True),
    question("b", False),
    question("c", True, category="place"),
    question("d", True),
)


def test_accuracy_overall_and_by_category():
    total = report(*FOUR).accuracy
    assert (total.value, total.num_questions) == (0.75, 4)
    assert (total.low, total.high) == wilson_interval(3, 4)
    by = report(*FOUR).by_category
    assert list(by) == ["colour", "place"]
    assert by["colour"].value == pytest.approx(2 / 3)
    assert report(question("a", True, category="")).by_category == {}


def test_several_rollouts_are_averaged_per_question():
    total = report(question("a", True, True, False, True), question("b", *[False] * 4)).accuracy
    assert total.value == pytest.approx((0.75 + 0.0) / 2)
    assert total.num_questions == 2


def test_a_half_right_answer_counts_half():
    half = report(question("a", 0.5, chance=None), question("b", 1, chance=None))
    assert half.accuracy.value == 0.75
    # between the intervals of 1 and of 2 right ones of 2, on the safe side
    assert (half.accuracy.low, half.accuracy.high) == (
        wilson_interval(1, 2)[0], wilson_interval(2, 2)[1],
    )  # fmt: skip
    wrong = report(question("a", 0, chance=None), question("b", 1, chance=None))
    against = half.compare(wrong)
    assert (against.difference, against.num_better, against.num_worse) == (0.25, 1, 0)


def test_chance_needs_options_everywhere():
    assert report(question("a", True), question("b", True, chance=0.5)).chance == 0.375
    assert report(question("a", True), question("b", True, chance=None)).chance is None


def test_table():
    assert report(*FOUR).table() == (
        "vstar: 4 questions, policy version 7, greedy\n"
        "\n"
        "                                score  95 % interval      n\n"
        "accuracy                       75.0 %  [ 30.1,  95.4]      4\n"
        "  colour                       66.7 %  [ 20.8,  93.9]      3\n"
        "  place                       100.0 %  [ 20.7, 100.0]      1\n"
        "chance                         25.0 %\n"
        "\n"
        "zooms that hit a target        75.0 %\n"
        "turns per rollout               2.25\n"
    )


def test_scalars_have_one_prefix_and_no_accuracy_twice():
    scalars = report(*FOUR).scalars("val")
    assert scalars["val/accuracy"] == 0.75
    assert scalars["val/accuracy/place"] == 1.0
    assert scalars["val/rollout/turns_mean"] == 2.25
    assert all(key.startswith("val/") for key in scalars)
    assert "val/rollout/accuracy" not in scalars


@pytest.mark.parametrize(("part", "is_shown"), [(0.5, False), (0.4, True)])
def test_a_reward_whose_accuracy_is_the_scorers_is_not_shown_again(part: float, is_shown: bool):
    one = report(*FOUR)
    one = replace(one, metrics=dict(one.metrics) | {"reward/accuracy": part})
    assert ("eval/reward/accuracy" in one.scalars()) == is_shown


def test_json_round_trip():
    odd = replace(FOUR[0], answers=("\ud800 é",))  # what a byte-level policy may write
    one = report(odd, *FOUR[1:])
    text = one.to_json()
    text.encode("utf-8")
    assert EvaluationReport.from_json(text) == one


def test_the_benchmarks_numbers_and_the_protocol_stand_in_table_and_json():
    protocol = Protocol("vstar", {"task": {"limits": {"max_turns": 1}}}, ("task.limits",))
    one = replace(
        report(*FOUR), benchmark={"overall": Accuracy(0.75, 0.3, 0.95, 4)}, protocol=protocol
    )
    assert f"protocol: vstar {protocol.fingerprint}, modified: task.limits\n" in one.table()
    assert "overall                        75.0 %  [ 30.0,  95.0]      4\n" in one.table()
    assert one.scalars()["eval/benchmark/overall"] == 0.75
    assert json.loads(one.to_json())["protocol"]["fingerprint"] == protocol.fingerprint
    assert EvaluationReport.from_json(one.to_json()) == one


def test_a_report_of_format_1_is_read():
    plain = json.loads(report(*FOUR).to_json()) | {"format": 1}
    for key in ("benchmark", "protocol"):
        del plain[key]
    for one in plain["questions"]:
        one["correct"] = [score == 1.0 for score in one.pop("scores")]
        del one["cluster"]
    assert EvaluationReport.from_json(json.dumps(plain)) == report(*FOUR)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 3}', '{"format": 1, "questions": [{}]}']
)
def test_json_that_is_no_report_names_its_file(text: str):
    with pytest.raises(DataError, match=r"out\.json: not an evaluation report"):
        EvaluationReport.from_json(text, path="out.json")


def test_comparison_pairs_by_id_whatever_the_order():
    a = report(*FOUR)
    b = report(
        question("d", False), question("c", True), question("b", False), question("a", False)
    )
    comparison = a.compare(b)
    assert comparison.difference == pytest.approx(0.75 - 0.25)
    assert (comparison.num_better, comparison.num_worse, comparison.num_questions) == (2, 0, 4)
    assert comparison.p_value == pytest.approx(2 / 2**2)
    assert comparison.low < comparison.difference < comparison.high
    assert str(comparison).startswith("+50.0 points [")
    same = a.compare(a)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert same.low < 0 < same.high


def test_comparison_of_different_questions_is_refused():
    with pytest.raises(ValueError, match=r"differ in 2 questions, such as \['d', 'e'\]"):
        report(*FOUR).compare(report(*FOUR[:3], question("e", True)))


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ((), "no question"),
        ((question("a", True), question("a", True)), "share an id"),
        ((question("a", True), question("b", True, False)), "more rollouts"),
    ],
)
def test_reports_that_would_mislead_are_refused(
    questions: tuple[QuestionOutcome, ...], message: str
):
    with pytest.raises(ValueError, match=message):
        report(*questions)
