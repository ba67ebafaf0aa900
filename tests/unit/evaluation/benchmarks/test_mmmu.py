"""MMMU: options written as a text, up to seven pictures, open questions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.one_of import OneOf
from vigorl.evaluation.benchmarks.mmmu import Mmmu


def row(options: str, answer: str, *, pictures: int = 1, **fields: object) -> dict[str, object]:
    images = {f"image_{i}": cell(i) if i <= pictures else None for i in range(1, 8)}
    kind = "multiple-choice" if options != "[]" else "open"
    return {
        "id": "validation_Art_Theory_4",
        "question": "<image 1> Which?",
        "options": options,
        **images,
        "answer": answer,
        "question_type": kind,
        "topic_difficulty": "Hard",
        **fields,
    }


def only(write: Write, one: dict[str, object], **fields: Any) -> TaskRecord:
    root = write("Art_Theory/validation-0.parquet", [one])
    bench = Mmmu(name="mmmu", download="", root=str(root), file="*/validation-*.parquet", **fields)
    (task,) = bench.tasks()
    return task


def test_the_option_none_is_a_text(write: Write) -> None:
    task = only(write, row("['1', '2', \"it's 3\", 'None']", "D"))
    assert (task.options[2:], task.answer) == (("it's 3", "None"), "None")
    assert task.is_right("D")
    assert not task.is_right("C")
    assert task.category == "Art_Theory"


def test_seven_pictures_in_order_with_their_markers(write: Write) -> None:
    task = only(write, row("['<image 2>', '<image 3>']", "A", pictures=7))
    assert len(set(task.images)) == 7
    assert task.question == "<image 1> Which?"


def test_an_open_question_by_the_official_rule_and_by_ours(write: Write) -> None:
    task = only(write, row("[]", "30"))
    assert all(task.is_right(one) for one in ("30", "The answer is 30.0", "3 or 30"))
    assert not task.is_right("31")
    strict = only(write, row("[]", "30"), open_scorer=OneOf())
    assert strict.is_right("30.0")
    assert not strict.is_right("3 or 30")


def test_several_right_answers_to_an_open_question(write: Write) -> None:
    task = only(write, row("[]", "['24/7', '3.429']"))
    assert all(task.is_right(one) for one in ("24/7", "3.43"))
    assert not task.is_right("24")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("['1', '2']", "C"), "the letter of one of 2 options, got 'C'"),
        (row("1, 2", "A"), '"options" is no list'),
        (row("['1', '2']", "A", question_type="open"), "an open question has options"),
        (row("[]", "3", pictures=0), "no picture"),
        (row("[]", "3", id="Art 4"), '"id" must be such as validation_Art_1'),
    ],
)
def test_bad_rows_are_named(write: Write, bad: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        only(write, bad)
