"""MathVista: the text of an option, numbers to a place, lists, units."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.evaluation.benchmarks.mathvista import MathVista

META = {
    "split": "testmini",
    "language": "chinese",
    "source": "made",
    "category": "general-vqa",
    "task": "figure question answering",
    "context": "bar chart",
    "grade": "college",
}


def row(answer: str, **fields: object) -> dict[str, object]:
    kind = {
        "choices": None,
        "unit": None,
        "precision": None,
        "question_type": "free_form",
        "answer_type": "integer",
        **fields,
    }
    return {
        "pid": "1",
        "question": "How tall?",
        "image": "images/1.jpg",
        "decoded_image": cell(),
        "answer": answer,
        "metadata": META,
        **kind,
    }


def only(write: Write, one: dict[str, object]) -> TaskRecord:
    root = write("data/testmini-0.parquet", [one])
    (task,) = MathVista(name="mv", download="", root=str(root), file="data/*.parquet").tasks()
    return task


def test_the_text_of_an_option_is_right_and_so_is_its_letter(write: Write) -> None:
    options = ["red", "blue", "blue"]
    task = only(
        write, row("blue", choices=options, question_type="multi_choice", answer_type="text")
    )
    assert (task.question, task.options) == ("How tall?", ("red", "blue"))
    assert task.is_right("B")
    assert not task.is_right("red")
    with pytest.raises(DataError, match="'green' is none of \"choices\""):
        only(write, row("green", choices=options, answer_type="text"))


def test_an_integer_with_its_unit(write: Write) -> None:
    task = only(write, row("3", unit="years"))
    assert task.question.startswith("Hint: Please answer the question requiring an integer answer")
    assert task.question.endswith("\nHow tall? (Unit: years)")
    assert task.is_right("3 years")
    assert not task.is_right("4")
    assert task.category == "figure question answering"
    assert task.tags["language"] == "chinese"


def test_a_number_is_rounded_to_the_places_that_are_asked_for(write: Write) -> None:
    task = only(write, row("3.7", precision=1.0, answer_type="float"))
    assert "with one decimal place" in task.question
    assert task.is_right("3.68")
    assert not task.is_right("3.6")


def test_a_list_is_right_number_by_number(write: Write) -> None:
    task = only(write, row("[2014, 2016]", answer_type="list"))
    assert all(task.is_right(one) for one in ("[2014, 2016]", "2014,2016", r"\boxed{[2014, 2016]}"))
    assert not any(task.is_right(one) for one in ("[2016, 2014]", "2014", "", "[2014, 2016"))


def test_an_unknown_kind_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"'float' with \"precision\" 3\.0 is no known"):
        only(write, row("3.7", precision=3.0, answer_type="float"))


def test_the_authors_json_by_problem(tmp_path: Path, picture: Callable[..., str]) -> None:
    picture("images/1.jpg")
    one = {key: value for key, value in row("3").items() if key != "decoded_image"}
    (tmp_path / "testmini.json").write_text(json.dumps({"1": one, "2": 7}))
    bench = MathVista(name="mv", download="", root=str(tmp_path), file="testmini.json")
    with pytest.raises(DataError, match="problem 2 must be an object"):
        bench.tasks()
    (tmp_path / "testmini.json").write_text(json.dumps({"1": one}))
    (task,) = bench.tasks()
    assert Path(task.images[0]).name == "1.jpg"
