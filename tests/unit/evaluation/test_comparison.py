"""Two reports question by question, or cluster by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.evaluation.outcomes import choice, outcome, report
from vigorl.core.errors import ConfigError, DataError
from vigorl.data.plain import to_plain
from vigorl.evaluation.comparison import compare_all, compare_reports, flipped, locked_metric
from vigorl.evaluation.metrics import F1, MeanOf, Metric, measured
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import EvaluationReport, QuestionOutcome
from vigorl.evaluation.statistics import difference_interval

FOUR = (outcome("a", 1), outcome("b", 0), outcome("c", 1, category="place"), outcome("d", 1))


def test_questions_pair_by_id_whatever_the_order():
    a = report(*FOUR)
    b = report(outcome("d", 0), outcome("c", 1), outcome("b", 0), outcome("a", 0))
    found = compare_reports(a, b)
    assert found.difference == pytest.approx(0.75 - 0.25)
    assert (found.num_better, found.num_worse, found.num_questions) == (2, 0, 4)
    assert found.p_value == pytest.approx(2 / 2**2)
    assert (found.low, found.high) == difference_interval([1, 0, 1, 1], [0, 0, 1, 0])
    # 2.8016 sqrt(sum of squares / (n (n - 1))) = 2.8016 sqrt(2 / 12)
    assert found.smallest == pytest.approx(2.80159 * (2 / 12) ** 0.5, rel=1e-4)
    assert str(found).startswith("+50.0 points [")
    assert found.numbers["num_clusters"] == 4.0


def test_the_same_answers_hold_zero_but_prove_little():
    found = compare_reports(report(*FOUR), report(*FOUR))
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert found.low < 0 < found.high
    together = [replace(one, cluster="x" if one.id < "c" else "y") for one in FOUR]
    found = compare_reports(report(*together), report(*together))
    assert (found.low, found.high) == pytest.approx((-1.95996 / 4, 1.95996 / 4), rel=1e-5)
    assert found.smallest == pytest.approx(2.80159 / 4, rel=1e-4)


def test_a_half_right_answer_counts_half():
    found = compare_reports(
        report(outcome("a", 0.5), outcome("b", 1)), report(outcome("a", 0), outcome("b", 1))
    )
    assert (found.difference, found.num_better, found.num_worse) == (0.25, 1, 0)
    assert found.p_value == 1.0  # one question, either sign


def test_three_pictures_are_three_however_many_questions_they_have():
    ids = [(i, k) for i in range(3) for k in range(10)]
    better = report(*(outcome(f"{i}/{k}", 1, cluster=str(i)) for i, k in ids))
    worse = report(*(outcome(f"{i}/{k}", k > 4, cluster=str(i)) for i, k in ids))
    found = compare_reports(better, worse)
    assert (found.difference, found.num_clusters) == (0.5, 3)
    assert found.p_value == 2 / 2**3  # each question alone would give 2 / 2^15


def locked(report: EvaluationReport, metric: Any, **settings: Any) -> EvaluationReport:
    """As a benchmark that is quoted by a metric leaves it."""
    kind = f"{type(metric).__module__}.{type(metric).__qualname__}"
    told = {"metrics": {"quoted": {"_target_": kind, **to_plain(metric)}}} | settings
    return replace(
        report,
        benchmark={"quoted": measured(metric, report.questions)},
        protocol=Protocol(report.name, {"benchmark": told}),
    )


def test_the_metric_that_the_benchmark_is_quoted_by_is_compared():
    ids = range(12)
    a = report(*(outcome(str(i), i != 0, category=str(i // 10)) for i in ids))
    b = report(*(outcome(str(i), i != 11, category=str(i // 10)) for i in ids))
    found = compare_reports(locked(a, MeanOf()), locked(b, MeanOf()))
    assert found.metric == "quoted"
    # 9 of 10 and 2 of 2, against 10 of 10 and 1 of 2
    assert found.difference == pytest.approx((0.9 + 1) / 2 - (1 + 0.5) / 2)
    assert found.p_value == 1.0  # 2 swaps of 4 give 0.3, two 0.2
    assert compare_reports(a, b).difference == 0.0


@dataclass(frozen=True)
class CalledF1(Metric):
    """F1 without its sums."""

    def __call__(self, questions: Sequence[QuestionOutcome]) -> float:
        return F1()(questions)


def test_a_metric_of_ones_own_is_compared_by_calling_it():
    def made(*chosen: int | None) -> EvaluationReport:
        rights = [int(i % 3 == 1) for i in range(9)]
        questions = [
            choice(str(i), one, right=k, right_answer=("yes", "no")[k], cluster=str(i // 2))
            for i, (one, k) in enumerate(zip(chosen, rights, strict=True))
        ]
        return report(*questions)

    a, b = made(0, 1, 0, 0, 0, 1, 1, 0, 0), made(0, 0, 1, None, 0, 1, 1, 0, 0)
    by_sums = compare_reports(locked(a, F1()), locked(b, F1()))
    by_calls = compare_reports(locked(a, CalledF1()), locked(b, CalledF1()))
    assert by_sums.difference == pytest.approx(F1()(a.questions) - F1()(b.questions))
    assert by_calls.difference == by_sums.difference
    assert (by_calls.low, by_calls.high) == pytest.approx((by_sums.low, by_sums.high))
    assert by_calls.p_value == by_sums.p_value
    assert by_calls.smallest == pytest.approx(by_sums.smallest)


def test_another_protocol_is_refused_with_what_differs():
    a, b = locked(report(*FOUR), MeanOf()), locked(report(*FOUR), MeanOf(), option_seed=1)
    with pytest.raises(
        ConfigError, match=r"options \(benchmark\.option_seed\): 1 -> \(absent\)\n.*--allow"
    ):
        compare_reports(a, b)
    found = compare_reports(a, b, allow_other_protocol=True)
    assert found.protocol_differences == (
        "the seed of the order of options (benchmark.option_seed): 1 -> (absent)",
    )
    assert str(found).endswith("options (benchmark.option_seed): 1 -> (absent)")
    with pytest.raises(ConfigError, match="one report has none"):
        compare_reports(a, report(*FOUR))


def test_other_questions_are_refused():
    with pytest.raises(ConfigError, match=r"differ in 2 questions, such as \['d', 'e'\]"):
        compare_reports(report(*FOUR), report(*FOUR[:3], outcome("e", 1)))


def test_a_report_names_its_metric_or_is_quoted_by_the_accuracy():
    assert locked_metric(report(*FOUR))[0] == "accuracy"
    assert locked_metric(locked(report(*FOUR), MeanOf("level"))) == ("quoted", MeanOf("level"))
    odd = locked(report(*FOUR), MeanOf())
    told = {"benchmark": {"metrics": {"quoted": {"_target_": "elsewhere.Metric"}}}}
    with pytest.raises(DataError, match=r"metric 'elsewhere\.Metric' is not vigorl's"):
        locked_metric(replace(odd, protocol=Protocol("x", told)))


def test_no_other_metric_is_compared_for_one_that_these_questions_have_not():
    none = locked(report(*FOUR), MeanOf(only=("category", "nowhere")))
    with_more = [
        replace(one, benchmark={"overall": one.accuracy}, protocol=one.protocol)
        for one in (none, none)
    ]
    assert locked_metric(with_more[0])[0] == "quoted"
    with pytest.raises(DataError, match="these 4 questions have no 'quoted', which the benchmark"):
        compare_reports(*with_more)


def test_all_pairs_of_models_and_benchmarks_are_tested_together():
    right, wrong = (report(*(outcome(str(i), s) for i in range(8))) for s in (1, 0))
    mixed = report(*(outcome(str(i), i < 4) for i in range(8)))
    found = compare_all({"x": {"v": wrong}, "y": {"v": mixed}, "z": {"v": right, "w": right}})
    assert [(one.before, one.after) for one in found] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert [one.found.p_value for one in found] == [0.125, 2 / 2**8, 0.125]
    assert [one.p_together for one in found] == [0.25, 3 * 2 / 2**8, 0.25]
    assert [one.found.difference for one in found] == [0.5, 1.0, 0.5]
    assert (found[0].value_before, found[0].value_after) == (0.0, 0.5)
    with pytest.raises(ConfigError, match="x and y share no benchmark: v against w"):
        compare_all({"x": {"v": right}, "y": {"w": right}})


def test_flips_come_by_turns_the_largest_first():
    before = report(*(outcome(n, s) for n, s in zip("abcde", (1, 0.5, 0, 0, 1), strict=True)))
    after = report(*(outcome(n, s) for n, s in zip("abcde", (0.5, 0, 0.2, 1, 1), strict=True)))
    assert flipped(before, after, 9) == ["a", "d", "b", "c"]
    assert flipped(before, after, 1) == ["a"]
