"""Conditions on the same questions: which are paired, sampled and counted, and what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import behaviors as command
from tests.builders import answer_turn, rollout, scored, task, zoom_turn
from tests.unit.rollout.fake_judge import in_turn
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.rollout import Rollout
from vigorl.evaluation.behavior_judge import Missing
from vigorl.evaluation.behavior_table import MeanCount, compare_behaviors, read_condition
from vigorl.evaluation.behaviors import Behavior
from vigorl.evaluation.statistics import bootstrap_interval, difference_interval, wilson_interval
from vigorl.rollout.recorder import RolloutRecorder

REGIONS = Behavior.REGIONS
PLACES = ((50, 20), (90, 90), (20, 90))


def asked(name: str, *, zooms: int = 1, answer: str = "red", index: int = 0) -> Rollout:
    """A rollout of question `name` that looks at so many regions; "red" is right."""
    turns = [zoom_turn(x, y) for x, y in PLACES[:zooms]]
    end = answer_turn(answer, think="Done.")
    return rollout(*turns, end, task=task(id=name), index=index)


def test_only_shared_questions_are_counted_in_the_same_order():
    first = [asked("c"), asked("a", zooms=2), asked("b", zooms=3)]
    second = [asked("b"), asked("d"), asked("c", zooms=2, answer="blue")]
    table = compare_behaviors({"x": first, "y": second})
    assert table.question_ids == ("b", "c")
    x, y = table.conditions
    assert x.counts["rules"][REGIONS] == (3, 1)
    assert y.counts["rules"][REGIONS] == (1, 2)
    assert (x.accuracy.value, y.accuracy.value) == (1.0, 0.5)
    assert (y.accuracy.low, y.accuracy.high) == wilson_interval(1, 2)
    assert y.accuracy.num_questions == 2


def test_correct_only_keeps_what_all_got_right_and_the_accuracy_of_all():
    first = [asked("a"), asked("b"), asked("c", answer="blue")]
    second = [asked("a"), asked("b", answer="blue"), asked("c")]
    table = compare_behaviors({"x": first, "y": second}, only_correct=True)
    assert table.question_ids == ("a",)
    assert [one.accuracy.value for one in table.conditions] == [pytest.approx(2 / 3)] * 2
    assert "1 of the 1 questions that every condition got right" in table.markdown()


def test_the_sample_depends_on_the_seed_and_the_questions_alone():
    names = [f"q{i}" for i in range(40)]
    rollouts = [asked(name) for name in names]

    def sample(many: Sequence[Rollout], **settings: int) -> tuple[str, ...]:
        return compare_behaviors({"x": many}, max_traces=5, **settings).question_ids

    assert sample(rollouts) == sample(rollouts[::-1])
    assert len(set(sample(rollouts))) == 5
    assert sample(rollouts) != sample(rollouts, seed=1)
    assert compare_behaviors({"x": rollouts}, max_traces=40).question_ids == tuple(sorted(names))


def test_of_several_rollouts_of_a_question_the_first_counts():
    many = [asked("a", zooms=3, index=1), asked("a", zooms=2, index=0)]
    (one,) = compare_behaviors({"x": many}).conditions
    assert one.counts["rules"][REGIONS] == (2,)


def test_means_and_paired_differences_have_the_houses_intervals():
    first = [asked(name) for name in "abcd"]
    second = [asked(name, zooms=z) for name, z in zip("abcd", (1, 2, 3, 3), strict=True)]
    table = compare_behaviors({"x": first, "y": second})
    mean = table.conditions[1].mean("rules", REGIONS)
    assert mean is not None
    assert (mean.value, mean.num_traces) == (2.25, 4)
    assert mean.interval == bootstrap_interval([1, 2, 3, 3])
    interval = difference_interval([1, 2, 3, 3], [1, 1, 1, 1])
    assert table.difference("y", "rules", REGIONS) == MeanCount(1.25, interval, 4)


def test_equal_counts_claim_no_certainty():
    first = [asked("a"), asked("b", zooms=2)]
    second = [asked("a", zooms=2), asked("b", zooms=3)]
    table = compare_behaviors({"x": first, "y": second, "z": first[::-1]})
    assert table.difference("y", "rules", REGIONS) == MeanCount(1.0, None, 2)
    assert table.difference("z", "rules", REGIONS) == MeanCount(0.0, None, 2)
    assert table.conditions[0].mean("rules", Behavior.BACKTRACKING) == MeanCount(0.0, None, 2)
    text = table.markdown()
    assert "| y | rules | +1.00 [all equal] |" in text
    assert "| 0.00 [all equal] | 100.0 [34.2, 100.0] |" in text


def test_a_judge_counts_beside_the_rules_and_what_is_missing_is_in_no_mean():
    first, second = [asked("a"), asked("b")], [asked("a", zooms=2), asked("b", zooms=2)]
    zeros = ["<total>0</total>"] * 6
    judge = in_turn(
        "<total>4</total>", None, *zeros,
        "<total>5</total>", "<total>9</total>", "?", "?", *zeros[:4],
    )  # fmt: skip
    table = compare_behaviors({"x": first, "y": second}, judge=judge)
    x, y = table.conditions
    assert x.counts["rules"][REGIONS] == (1, 1)
    assert x.counts["judge"][REGIONS] == (4, Missing.FAILED)
    assert x.mean("judge", REGIONS) == MeanCount(4.0, None, 1)  # not 2.0 of two
    assert y.mean("judge", Behavior.SUBGOALS) is None
    assert (x.num_missing("judge", Missing.FAILED), y.num_missing("judge", Missing.FAILED)) == (
        1,
        0,
    )
    assert y.num_missing("judge", Missing.UNREADABLE) == 2
    assert table.difference("y", "judge", REGIONS) == MeanCount(1.0, None, 1)  # of "a": 5 - 4
    assert table.difference("y", "judge", Behavior.SUBGOALS) is None
    text = table.markdown()
    assert "| x | judge | 4.00 [all equal] (n = 1) | 0.00 [all equal] |" in text
    assert "| y | judge | 7.00 [5.00, 9.00] | no count |" in text
    assert "x, judge: 1 of 8 counts are missing (1 failed, 0 unreadable)" in text
    assert "y, judge: 2 of 8 counts are missing (0 failed, 2 unreadable)" in text


@pytest.mark.parametrize(
    ("conditions", "settings", "error", "message"),
    [
        ({}, {}, ConfigError, "at least one condition"),
        ({"x": [asked("a")]}, {"max_traces": 0}, ConfigError, "max_traces"),
        ({"x": [asked("a")], "y": [asked("b")]}, {}, DataError, "no question is shared by"),
        ({"x": [asked("a", answer="blue")]}, {"only_correct": True}, DataError, "answered rightly"),
        (
            {"x": [asked("a")], "y": [rollout(task=task(id="a", question="How many?"))]},
            {}, DataError, "'a' is not the same question",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    conditions: dict, settings: dict, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        compare_behaviors(conditions, **settings)


def record(path: Path, *rollouts: Rollout, phase: str = "test") -> Path:
    with RolloutRecorder(path, run_seed=0) as recorder:
        for one in rollouts:
            recorder.write(scored(one), phase=phase)
    return path


def test_a_record_of_several_phases_needs_a_choice(tmp_path: Path):
    path = record(tmp_path / "r.jsonl", asked("a"), asked("b"), phase="train/0")
    assert [one.task.id for one in read_condition(path)] == ["a", "b"]
    record(path, asked("c"), phase="train/1")
    assert [one.task.id for one in read_condition(path, phase="train/1")] == ["c"]
    with pytest.raises(DataError, match="several phases, choose one: train/0, train/1"):
        read_condition(path)
    with pytest.raises(DataError, match=r"no rollout of phase 'val'.*train/0"):
        read_condition(path, phase="val")


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = record(tmp_path / "before.jsonl", asked("a"), asked("b"))
    after = record(tmp_path / "after.jsonl", asked("a", zooms=2), asked("b", zooms=3))
    out = tmp_path / "table.md"
    given = ["--condition", f"before={before}", "--condition", f"after={after}", "--out", str(out)]
    command.main(given)
    printed = capsys.readouterr().out
    assert out.read_text() == printed
    assert "| after | rules | 2.50 [2.00, 3.00] |" in printed
    assert "| minus before, paired |" in printed
    command.main([*given, "--near-px", "500"])
    assert "| after | rules | 1.00 [all equal] |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given",
    [
        ["--condition", "nameless"],
        ["--condition", "x=a.jsonl", "--condition", "x=b.jsonl"],
        ["--condition", "x=a.jsonl", "--judge-url", "http://localhost:1"],
        ["--condition", "x=a.jsonl", "--judge-model", "wise"],
    ],
)
def test_the_command_refuses_half_a_setting(given: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command.main(given)
    assert "error: " in capsys.readouterr().err
