"""MATH-Vision: letters that stand in the picture, one picture for several markers, LaTeX."""

from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.evaluation.benchmarks.mathvision import MathVision


def row(answer: str, options: list[str] | None = None, **fields: object) -> dict[str, object]:
    return {
        "id": "4",
        "question": "How many?\n<image1>",
        "options": options or [""][:0],
        "answer": answer,
        "image": "images/4.jpg",
        "decoded_image": cell(),
        "solution": None,
        "level": 3,
        "subject": "counting",
        **fields,
    }


def only(write: Write, one: dict[str, object]) -> TaskRecord:
    root = write("data/test-0.parquet", [one])
    (task,) = MathVision(name="mv", download="", root=str(root), file="data/*.parquet").tasks()
    return task


def test_options_that_are_letters_alone_keep_their_order(write: Write) -> None:
    task = only(write, row("D", list("ABCDE")))
    assert (task.options, task.answer) == (tuple("ABCDE"), "D")
    assert task.is_right(r"\boxed{D}")
    assert not task.is_right("E")
    assert (task.category, task.tags) == ("counting", {"level": "3"})


def test_an_option_is_right_by_letter_and_by_value(write: Write) -> None:
    task = only(write, row("B", ["1", r"$\frac{1}{2}$", "2"]))
    assert all(task.is_right(one) for one in ("B", r"\boxed{\frac{2}{4}}", "0.5"))
    assert not task.is_right("A")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("11 ", "11"),
        (r"$\boxed{\frac{16}{7}}$", r"\boxed{\frac{16}{7}}"),
        ("\x0crac{36}{13}", r"\frac{36}{13}"),
    ],
)
def test_right_answers_as_real_rows_write_them(write: Write, answer: str, right: str) -> None:
    assert only(write, row(answer)).is_right(right)


def test_the_last_box_counts(write: Write) -> None:
    task = only(write, row("6"))
    assert task.is_right(r"\boxed{5}, no: \boxed{6}")
    assert not task.is_right(r"\boxed{6}, no: \boxed{5}")


def test_markers_of_pictures(write: Write) -> None:
    assert only(write, row("6")).question == "How many?"
    assert "in the picture" in only(write, row("6", question="<image1>")).question
    several = only(write, row("6", question="One:\n<image1>\nOther:\n<image2>"))
    assert several.question == "One:\n<image1>\nOther:\n<image2>"
    assert len(several.images) == 1


def test_two_equal_wrong_options_are_one(write: Write) -> None:
    task = only(write, row("E", ["1 and 3", "1 and 5", "2 and 4", "2 and 4", "3 and 5"]))
    assert (len(task.options), task.answer) == (4, "3 and 5")


def test_a_letter_behind_the_last_option_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="the letter of one of 2 options, got 'C'"):
        only(write, row("C", ["1", "2"]))


def test_an_option_that_is_a_list_in_dollars_is_a_text(write: Write) -> None:
    """As sets all three are equal, so their values do not tell them apart."""
    task = only(write, row("B", ["$1,2,3$", "$2,1,3$", "$3,1,2$"]))
    assert task.is_right("$2,1,3$")
    assert task.is_right(r"\boxed{2,1,3}")
    assert not task.is_right("1,2,3")
