"""Tables as tasks by a map of their columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.data.faults import Rules
from vigorl.data.sources.columns import ColumnMap, read_tasks
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row


def picture(colour: str = "red") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(held, "PNG")
    return held.getvalue()


VALUES = {
    "index": 3, "question": "Which colour?", "image": picture(), "options": ["red", "blue"],
    "answer": "B", "category": "colour", "level": 2,
}  # fmt: skip


def made(root: Path, values: dict[str, Any], **columns: Any) -> TaskRecord:
    given = {"question": "question", "answer": "answer", "pictures": "image"} | columns
    row = Row({**VALUES, **values}, root / "t.parquet", name="row 4", root=root)
    return ColumnMap(**given).task(row, Pictures())


def test_a_row_becomes_a_task(tmp_path: Path):
    task = made(
        tmp_path, {}, options="options", answer_form="letter", id="index", category="category",
        cluster="{category} {index}", tags={"level": "level"},
    )  # fmt: skip
    assert (task.id, task.question, task.answer, task.options) == (
        "3", "Which colour?", "blue", ("red", "blue"),
    )  # fmt: skip
    assert (task.category, task.cluster, task.tags) == ("colour", "colour 3", {"level": "2"})
    assert Path(task.images[0]).read_bytes() == VALUES["image"]
    assert task.source == f"{tmp_path / 't.parquet'} (row 4)"
    assert task.is_right("B")
    assert made(tmp_path, {"answer": 7}).id == "t:4"  # and open


@pytest.mark.parametrize(
    ("form", "answer", "is_blue"),
    [
        ("letter", "B", True), ("letter", "(b)", True), ("letter", "B.", True),
        ("letter", "a", False), ("index", "1", True), ("index", 0, False),
        ("text", "blue", True), ("text", "Blue ", True),
    ],
)  # fmt: skip
def test_right_answers_are_written_in_three_ways(
    tmp_path: Path, form: str, answer: Any, is_blue: bool
):
    task = made(tmp_path, {"answer": answer}, options="options", answer_form=form)
    assert task.answer == ("blue" if is_blue else "red")


@pytest.mark.parametrize(
    ("form", "answer", "fault"),
    [
        ("letter", "C", r"t\.parquet: row 4: 'answer' is 'C', but there is no such option"),
        ("letter", "blue", "'answer' must be an option's letter, got 'blue'"),
        ("index", "2", "there is no such option"),
        ("index", "B", "must be an option's index, got 'B'"),
        ("text", "green", r"'answer' is 'green', none of \['red', 'blue'\]"),
    ],
)
def test_an_answer_that_is_no_option_is_named(tmp_path: Path, form: str, answer: str, fault: str):
    with pytest.raises(DataError, match=fault):
        made(tmp_path, {"answer": answer}, options="options", answer_form=form)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["(A) 27", "(B) (E) not"], ("27", "(E) not")),
        (["A) 27", "B) 72"], ("27", "72")),  # one file lost the first bracket
        (["A", "B"], ("A", "B")),  # letters that stand in a diagram
        (["(black)", "(white)"], ("(black)", "(white)")),
        ("['red', \"the dog's\"]", ("red", "the dog's")),
        ("A. red\nB. blue", ("red", "blue")),
        ("(a) Left (b) Right", ("Left", "Right")),
        ([1, 2], ("1", "2")),
    ],
)
def test_options_are_written_in_many_ways(tmp_path: Path, options: Any, expected: tuple[str, ...]):
    task = made(tmp_path, {"options": options}, options="options", answer_form="letter")
    assert task.options == expected
    assert task.answer == expected[1]


def test_a_column_for_each_option_may_be_empty_also_in_the_middle(tmp_path: Path):
    """RealWorldQA's TSV has lost option B of a row; C still means C. "None" is an option."""
    columns: dict[str, Any] = {"options": ["A", "B", "C", "D"], "answer_form": "letter"}
    task = made(tmp_path, {"A": "left", "B": "None", "C": "", "D": None}, **columns)
    assert (task.options, task.answer) == (("left", "None"), "None")
    gap = {"A": "left", "B": "", "C": "right", "D": ""}
    assert made(tmp_path, gap | {"answer": "C"}, **columns).answer == "right"
    with pytest.raises(DataError, match="'B', but there is no such option"):
        made(tmp_path, gap, **columns)
    with pytest.raises(DataError, match="no column 'D'; columns: index, question, image"):
        made(tmp_path, {"A": "", "B": "", "C": ""}, **columns)


def test_options_in_the_question_are_taken_out_and_other_questions_are_open(tmp_path: Path):
    columns: dict[str, Any] = {
        "options_in_question": True, "answer_form": "letter",
        "strip": [r"\s*Please answer directly with a single word.*"],
    }  # fmt: skip
    text = "Where?\nA. left\nB. (right)\nPlease answer directly with only the letter."
    task = made(tmp_path, {"question": text}, **columns)
    assert (task.question, task.options, task.answer) == ("Where?", ("left", "(right)"), "(right)")
    text = "How many?\nPlease answer directly with a single word or number."
    task = made(tmp_path, {"question": text, "answer": "1"}, **columns)
    assert (task.question, task.options, task.answer) == ("How many?", (), "1")
    with pytest.raises(DataError, match=r"'question': option \(C\) where \(B\) was due"):
        made(tmp_path, {"question": "Where?\nA. left\nC. right"}, **columns)


def test_slots_become_places_where_each_is_named_once_and_words_elsewhere(tmp_path: Path):
    columns: dict[str, Any] = {"pictures": ["image", "second"], "options": "options"}
    values = {"second": picture("blue"), "answer": "red"}

    def asked(question: str, **more: Any) -> TaskRecord:
        return made(tmp_path, {**values, "question": question, **more}, **columns)

    task = asked("See <image 1> and <image2>.")
    assert task.question == "See <image> and <image>."
    assert [Path(file).read_bytes() for file in task.images] == [picture(), picture("blue")]
    assert asked("<image 2> or <image 1>?").question == "image 2 or image 1?"
    assert asked("<image 1> <image 2>, <image 1>?").question == "image 1 image 2, image 1?"
    assert asked("?", options=["red", "<image 2>"]).options == ("red", "image 2")
    with pytest.raises(DataError, match=r"names <image 3>, but has 2 pictures"):
        asked("<image 3>?")


def test_pictures_may_be_named_by_a_pattern(tmp_path: Path):
    (tmp_path / "MMVP Images").mkdir()
    (tmp_path / "MMVP Images/3.png").write_bytes(picture())
    task = made(tmp_path, {}, pictures="MMVP Images/{index}.png")
    assert task.images == (str(tmp_path / "MMVP Images/3.png"),)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"question": "q"}, r"a table needs the key answer; keys: answer, answer_form, box_form"),
        ({"question": "q", "answer": "a", "picture": "x"}, "^picture of a table: no such key"),
        ({"question": 3, "answer": "a"}, "question=3 of a table: it must be the name"),
        ({"question": "q", "answer": "a", "answer_form": "b"}, "one of letter, index, text"),
        ({"question": "q", "answer": "a", "options": 3}, "options=3 of a table"),
        ({"question": "q", "answer": "a", "tags": ["x"]}, "tags="),
        ({"question": "q", "answer": "a", "scorer": "text"}, "scorer='text'"),
        ({"question": "q", "answer": "a", "strip": "("}, "a regular expression"),
        (
            {"question": "q", "answer": "a", "options": "o", "options_in_question": True},
            "options='o'",
        ),
    ],
)
def test_a_map_that_means_nothing_is_refused(settings: dict[str, Any], fault: str):
    with pytest.raises(ConfigError, match=fault):
        ColumnMap.of(settings)


def test_a_table_is_filtered_and_its_bad_rows_are_named_at_once(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(picture())
    file = tmp_path / "t.csv"
    file.write_text("q,a,image,kind\nWho?,me,a.png,x\nWho?,,a.png,x\nWho?,me,b.png,x\nWho?,,,y\n")
    columns = ColumnMap(question="q", answer="a", pictures="image")
    with pytest.raises(DataError, match=r"2 of 3 rows .*t\.csv:3: the answer is.*t\.csv:4: pict"):
        read_tasks(file, columns, where={"kind": ["x"]})
    (task,) = read_tasks(file, columns, where={"kind": ["x"]}, rules=Rules(skip_bad_rows=True))
    assert task.id == "t:2"
    with pytest.raises(DataError, match=r"there is no row of kind=z\|w"):
        read_tasks(file, columns, where={"kind": ["z", "w"]})
    with pytest.raises(DataError, match=r"no column 'sort'; columns: q, a, image, kind"):
        read_tasks(file, columns, where={"sort": ["z"]})
