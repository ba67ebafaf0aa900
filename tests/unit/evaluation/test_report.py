"""What a report says, and that it survives JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vigorl.core.errors import DataError
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import (
    Accuracy,
    EvaluationReport,
    QuestionOutcome,
    suite_scalars,
    suite_table,
)
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


def test_questions_that_share_their_luck_widen_every_interval():
    """Eight pictures of five questions each, wholly right or wholly wrong."""
    together = report(
        *(replace(question(f"{i}/{k}", i < 4), cluster=str(i)) for i in range(8) for k in range(5))
    )
    total, apart = together.accuracy, report(*(replace(q, cluster="") for q in together.questions))
    assert (total.num_questions, total.num_clusters) == (40, 8)
    # sqrt(8 / 7 * 8 * 2.5^2) / 40; each question alone: sqrt(40 * 0.25 / (40 * 39))
    assert total.error == pytest.approx((8 / 7 * 8 * 2.5**2) ** 0.5 / 40)
    assert apart.accuracy.error == pytest.approx((10 / (40 * 39)) ** 0.5)
    assert total.high - total.low > 2 * (apart.accuracy.high - apart.accuracy.low)
    assert together.by_category["colour"] == total
    assert "      n  clusters\n" in together.table()
    assert "clusters" not in apart.table()


def test_several_answers_say_what_the_sampling_adds():
    # within: 0.5, 0, 0 -> mean 1/6, of 2 answers to 3 questions: error^2 1/36
    # all: scores 0.5, 1, 0: variance 0.25, error^2 1/12; the questions' part 1/12 - 1/36
    found = report(question("a", 1, 0), question("b", 1, 1), question("c", 0, 0))
    assert found.errors["error/sampling"] == pytest.approx(1 / 6)
    assert found.errors["error/questions"] == pytest.approx((1 / 18) ** 0.5)
    assert "error from the sampling        16.7 %\n" in found.table()
    assert found.scalars()["eval/error/sampling"] == pytest.approx(1 / 6)
    assert report(*FOUR).errors == {}


def test_tags_split_the_questions_unless_they_name_them():
    tags = [{"level": "1", "pair": "p"}, {"level": "2", "pair": "q"}, {"pair": "r"}]
    many = [replace(q, tags=t | {"x": "y"}) for q, t in zip(FOUR, tags, strict=False)]
    found = report(*many)
    assert set(found.by_tag) == {"level", "pair"}  # "x" is the same everywhere
    assert {k: v.value for k, v in found.by_tag["level"].items()} == {"1": 1, "2": 0, "(none)": 1}
    assert "  level 1                     100.0 %" in found.table()
    names = [replace(question(str(i), 1), tags={"pair": str(i)}) for i in range(30)]
    assert report(*names).by_tag == {}


def test_what_rules_alone_give_stands_beside_a_judges_score():
    judged = [replace(q, extras={"rule": rule}) for q, rule in zip(FOUR, (1, 0, 0, 0), strict=True)]
    found = report(*judged).by_rules
    assert found is not None
    assert found.value == 0.25
    assert "by rules, without the judge    25.0 %" in report(*judged).table()
    assert report(*FOUR).by_rules is None


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


def test_letters_stand_in_the_table_where_there_are_few():
    shares = {f"choice/{kind}_{name}_frac": 0.5 for name in "AB" for kind in ("chosen", "right")}
    table = replace(report(*FOUR), metrics=shares).table()
    assert "letters chosen, %             A 50.0  B 50.0\n" in table
    assert "letters right, %              A 50.0  B 50.0\n" in table
    assert "letters" not in report(*FOUR).table()


def test_scalars_leave_out_the_letters_and_keep_the_bias():
    shares = {f"choice/{kind}_{name}_frac": 0.5 for name in "AB" for kind in ("chosen", "right")}
    bias = {"choice/position_bias": 0.1, "choice/position_bias_by_luck": 0.2}
    named = {
        key for key in replace(report(*FOUR), metrics=shares | bias).scalars() if "choice" in key
    }
    assert named == {f"eval/{key}" for key in bias}


def test_a_suite_quotes_no_other_number_for_one_that_is_not_there():
    told = {"benchmark": {"metrics": {"F1": {}, "overall": {}}}}
    made = replace(
        report(*FOUR),
        benchmark={"overall": report(*FOUR).accuracy},
        protocol=Protocol("x", told),
    )
    assert made.quoted == ("F1", None)
    assert suite_table({"x": made}) == "x      ?    F1 has no value for these questions\n"
    assert suite_scalars({"x": made, "y": report(*FOUR)}) == {"suite/y": 0.75}


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


def test_names_of_questions_in_several_orders_are_no_parts():
    many = [replace(q, cluster=c, tags={"question": c}) for q, c in zip(FOUR, "aabb", strict=False)]
    assert report(*many).by_tag == {}


def test_one_number_stands_there_once_and_a_limit_beside_it():
    mean = {"_target_": "vigorl.evaluation.metrics.Mean", "only": None}
    settings = {
        "benchmark": {"metrics": {"mean over orders": mean}},
        "questions": {"number": 3, "of": 191},
        "judging": {"_target_": "vigorl.evaluation.protocols.vlmevalkit.VlmEvalKit"},
    }
    plain = report(*FOUR)
    found = replace(
        plain,
        benchmark={"mean over orders": plain.accuracy, "other": plain.accuracy},
        protocol=Protocol("x", settings),
    )
    table = found.table()
    assert "\naccuracy (mean over orders)  " in table
    assert "\nmean over orders" not in table
    assert "\nother  " in table
    assert f"{len(plain.questions)} of 191 questions" in table
    assert "\nanswers: read as by vlmevalkit\n" in table
    once = replace(plain, benchmark={"overall": plain.accuracy}).table()
    assert "overall" not in once
