"""SAT's real test set in the stored forms, and in both orders."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell, png
from vigorl.core.errors import DataError
from vigorl.evaluation.benchmarks.sat import Sat


def row(pictures: list, answer: str = "moved left", **fields: object) -> dict[str, object]:
    return {
        "image_bytes": pictures,
        "question": "Which way?",
        "answers": ["moved left", "moved right"],
        "question_type": "ego_movement",
        "correct_answer": answer,
        **fields,
    }


def sat(root: object, **fields: Any) -> Sat:
    return Sat(name="sat", download="", root=str(root), file="SAT_test.parquet", **fields)


@pytest.mark.parametrize(
    "pictures", [[cell(1), cell(2)], [png(1), png(2)]], ids=["structs", "bytes"]
)
def test_both_stored_forms_of_the_pictures(write: Write, pictures: list) -> None:
    (task,) = sat(write("SAT_test.parquet", [row(pictures)])).tasks()
    assert len(set(task.images)) == 2
    assert (task.category, task.answer) == ("ego_movement", "moved left")


def test_an_ending_that_no_option_has_is_left_out(write: Write) -> None:
    rows = [row([cell()], "moved left in the first frame"), row([cell()], "stood still")]
    with pytest.raises(DataError, match=r"row 2: .*'stood still' is none of"):
        sat(write("SAT_test.parquet", rows)).tasks()
    (task,) = sat(write("SAT_test.parquet", rows[:1])).tasks()
    assert task.is_right("moved left in the first frame")
    assert not task.is_right("moved right")


def test_each_question_is_asked_in_both_orders(write: Write) -> None:
    root = write("SAT_test.parquet", [row([cell()]), row([cell()], "moved right")])
    tasks = sat(root, option_order="both_ways").load().test_tasks
    assert [task.options[0] for task in tasks] == ["moved left", "moved right"] * 2
    assert [task.tags["question"] for task in tasks] == ["SAT_test:1"] * 2 + ["SAT_test:2"] * 2
    assert len({task.cluster for task in tasks}) == 2
    assert [task.is_right("A") for task in tasks] == [True, False, False, True]
