"""MathVerse: five versions of a problem, and one without a picture."""

from __future__ import annotations

import logging

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.evaluation.benchmarks.mathverse import MathVerse

ASKED = "Find angle C.\nChoices:\nA:40°\nB:60°"


def row(
    version: str, question: str = ASKED, answer: str = "A", **fields: object
) -> dict[str, object]:
    return {
        "sample_index": "1",
        "problem_index": "7",
        "problem_version": version,
        "question": question,
        "image": cell(),
        "answer": answer,
        "question_type": "multi-choice",
        "metadata": {"subject": "Plane Geometry", "subfield": "Angle", "source": "made"},
        **fields,
    }


def tasks(write: Write, *rows: dict[str, object]) -> list[TaskRecord]:
    root = write("testmini_version_split/a.parquet", rows)
    bench = MathVerse(
        name="mv", download="", root=str(root), file="testmini_version_split/*.parquet"
    )
    return list(bench.tasks())


def test_versions_of_a_problem_are_a_cluster(write: Write) -> None:
    lite, dominant = tasks(write, row("Text Lite"), row("Vision Dominant"))
    assert lite.cluster == dominant.cluster == "7"
    assert (lite.category, lite.options, lite.answer) == ("Text Lite", ("40°", "60°"), "40°")
    assert lite.id != dominant.id
    assert lite.is_right("A")
    assert not lite.is_right("60°")


def test_text_only_is_left_out_and_counted(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (kept,) = tasks(write, row("Text Lite"), row("Text Only", image=None))
    assert kept.category == "Text Lite"
    assert "1 rows have no picture (text only), and are left out" in caplog.text


def test_vision_only_is_asked_in_the_picture(write: Write) -> None:
    (choice,) = tasks(write, row("Vision Only", question=""))
    assert choice.question.startswith("Answer the question that is written in the picture.")
    assert "letter" in choice.question
    assert choice.is_right("A")
    assert not choice.is_right("B")


def test_an_open_answer_is_a_value(write: Write) -> None:
    (task,) = tasks(write, row("Text Lite", "Find x.", r"2\sqrt{3}", question_type="free-form"))
    assert task.is_right(r"\boxed{2\sqrt3}")
    assert not task.is_right("2")


@pytest.mark.parametrize(
    ("question", "answer", "options", "right"),
    [
        (ASKED.replace("Choices", "Choice"), "60°", ("40°", "60°"), "60°"),
        ("Which?\nChoices:\nA:first\nB:\nC:third", "C", ("first", "third"), "third"),
        (ASKED.replace("°", "\u63b3"), "A", ("40°", "60°"), "40°"),
    ],
    ids=["a text for a letter", "options that are missing", "a wrong decoding of °"],
)
def test_options_of_real_rows(
    write: Write, question: str, answer: str, options: tuple[str, ...], right: str
) -> None:
    (task,) = tasks(write, row("Text Lite", question, answer))
    assert (task.options, task.answer) == (options, right)


def test_two_right_options_are_both_due(write: Write) -> None:
    (task,) = tasks(write, row("Text Lite", "Choose 2.\nChoices:\nA:1\nB:2\nC:3", "A\nC"))
    assert "C:3" in task.question
    assert all(task.is_right(one) for one in ("A and C", "C, A", r"\boxed{A,C}"))
    assert not any(task.is_right(one) for one in ("A", "A, B, C", "A or C", ""))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (r"Area $=9 \pi \mathrm{cm}^{2}$", r"9\pi"),
        ("$h=15$", "15"),
        (r"60.21 \mathrm{m}^2", "60.21"),
        (r"\frac{x^2}{81}+\frac{y^2}{9}=1", r"\frac{x^2}{81}+\frac{y^2}{9}=1"),
        (r"\text { local maximum: }(-3,60)", r"\text { local maximum: }(-3,60)"),
    ],
)
def test_open_answers_of_real_rows(write: Write, written: str, said: str) -> None:
    (task,) = tasks(write, row("Text Lite", "Find it.", written, question_type="free-form"))
    assert task.is_right(said)


def test_an_unknown_version_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"must be one of .*, got 'Text Heavy'"):
        tasks(write, row("Text Heavy"))
