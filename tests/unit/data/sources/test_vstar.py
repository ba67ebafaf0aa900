"""V*Bench: the shuffle hides the right option, boxes lie on the picture, faults name the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box
from vigorl.data.sources.vstar_folder import read_vstar_folder, write_vstar_folder
from vigorl.data.sources.vstar_questions import read_vstar_questions

OPTIONS = ["It is teal.", "It is red.", "It is blue.", "It is white."]


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., str]) -> Path:
    for category, names in (("direct_attributes", "ab"), ("relative_position", "c")):
        for name in names:
            picture(f"{category}/{name}.png", (100, 80))
            row = {"target_object": ["cup"], "bbox": [[10, 20, 30, 40]],
                   "question": "What colour?", "options": OPTIONS}  # fmt: skip
            (tmp_path / category / f"{name}.json").write_text(json.dumps(row))
    return tmp_path


def edit(folder: Path, **values: object) -> None:
    file = folder / "direct_attributes" / "a.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_records_of_the_two_categories(folder: Path) -> None:
    records = read_vstar_folder(folder)
    assert [r.id for r in records] == [
        "direct_attributes/a", "direct_attributes/b", "relative_position/c",
    ]  # fmt: skip
    first = records[0]
    assert (first.answer, first.category) == ("It is teal.", "direct_attributes")
    assert first.targets == (Box(10, 20, 40, 60),)  # x, y, width, height
    assert first.source.endswith("direct_attributes/a.json")
    assert Path(first.images[0]).name == "a.png"


def test_the_right_option_does_not_always_come_first(folder: Path) -> None:
    places = [
        r.options.index(r.answer) for s in range(40) for r in read_vstar_folder(folder, seed=s)
    ]
    assert set(places) == {0, 1, 2, 3}
    assert all(sorted(r.options) == sorted(OPTIONS) for r in read_vstar_folder(folder))


def test_the_order_depends_on_the_record_alone(folder: Path) -> None:
    both = read_vstar_folder(folder, seed=3)
    one = read_vstar_folder(folder, seed=3, categories=["relative_position"])
    assert one == both[2:]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bbox": [[80, 20, 30, 40]]}, r"box \(80, 20, 110, 60\) is not on the 100x80 picture"),
        ({"bbox": [[10, 20, 0, 40]]}, "left < right"),
        ({"bbox": [[10, 20, 40]]}, "four numbers"),
        ({"bbox": None}, "a list of boxes"),
        ({"options": ["one"]}, "2 to 26 different texts"),
        ({"options": ["one", "one"]}, "2 to 26 different texts"),
        ({"question": 3}, '"question" must be a text'),
    ],
)
def test_faults_name_the_file(folder: Path, values: dict[str, object], message: str) -> None:
    edit(folder, **values)
    with pytest.raises(DataError, match=message) as caught:
        read_vstar_folder(folder)
    assert "direct_attributes/a.json" in str(caught.value)


def test_pictures_and_questions_come_in_pairs(folder: Path) -> None:
    (folder / "direct_attributes" / "a.json").unlink()
    with pytest.raises(DataError, match="no question file"):
        read_vstar_folder(folder)
    (folder / "direct_attributes" / "a.png").unlink()
    (folder / "direct_attributes" / "b.png").unlink()
    with pytest.raises(DataError, match="found 0"):
        read_vstar_folder(folder)
    with pytest.raises(DataError, match="no category folder 'OCR'"):
        read_vstar_folder(folder, categories=["OCR"])


def test_endings_in_capitals_are_pictures_too(folder: Path) -> None:
    (folder / "direct_attributes" / "a.png").rename(folder / "direct_attributes" / "a.JPG")
    assert read_vstar_folder(folder)[0].images[0].endswith("a.JPG")
    copy = folder / "direct_attributes" / "b.png"
    copy.with_suffix(".Jpg").write_bytes(copy.read_bytes())
    with pytest.raises(DataError, match="found 2"):
        read_vstar_folder(folder)


def test_written_records_come_back(folder: Path, tmp_path: Path) -> None:
    records = read_vstar_folder(folder, seed=5)
    files = write_vstar_folder(records, tmp_path / "copy")
    assert json.loads(files[0].read_text())["options"][0] == "It is teal."  # their convention
    back = read_vstar_folder(tmp_path / "copy", seed=5)
    unplaced = [replace(r, images=(), source="") for r in records]
    assert [replace(r, images=(), source="") for r in back] == unplaced


def test_a_record_that_does_not_fit_the_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a category"):
        write_vstar_folder([task(category="")], tmp_path)


def question_line(**values: object) -> str:
    row = {
        "image": "direct_attributes/a.png",
        "text": "What colour\nis it?\n(A) red\n(B) blue\nAnswer with the option's letter from the "
        "given choices directly.",
        "category": "direct_attributes", "label": "B", "question_id": 4,
    }  # fmt: skip
    return json.dumps(row | values)


def test_question_lines_lose_their_inline_options(folder: Path) -> None:
    (folder / "test_questions.jsonl").write_text(question_line() + "\n\n")
    (record,) = read_vstar_questions(folder / "test_questions.jsonl")
    assert record.question == "What colour\nis it?"
    assert (record.options, record.answer) == (("red", "blue"), "blue")
    assert (record.id, record.category) == ("4", "direct_attributes")


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        (
            "Which of these is it?\n(A) and (B) are marked.\n(A) the left\n(B) the right",
            "Which of these is it?\n(A) and (B) are marked.",
            ("the left", "the right"),
        ),
        (
            "What?\n(A) red\nwith stripes\n(B) blue\n\nwith dots\nPlease choose the right option.",
            "What?",
            ("red\nwith stripes", "blue\n\nwith dots"),
        ),
        ("What (A) is?\n(A)red\n(B) blue ", "What (A) is?", ("red", "blue")),
    ],
)
def test_only_the_last_lines_are_options(
    folder: Path, text: str, question: str, options: tuple[str, ...]
) -> None:
    (folder / "test_questions.jsonl").write_text(question_line(text=text))
    (record,) = read_vstar_questions(folder / "test_questions.jsonl")
    assert (record.question, record.options) == (question, options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "C"}, "must be one of A, B, got 'C'"),
        ({"text": "What?\n(B) red"}, r"from a line that begins with \(A\) on"),
        ({"text": "What?"}, "no options"),
        ({"text": "What?\n(A) red\nAnswer with the letter", "label": "A"}, "no options"),
        ({"text": "What?\n(A) red\n(B) red"}, "2 to 26 different"),
        ({"text": "What?\n(A) red\n(B)"}, "the answer is empty"),
        ({"text": "What?\n(A) red\n(C) blue"}, r"option \(C\) where \(B\) was due"),
        ({"text": "(A) red\n(B) blue"}, "the question is empty"),
        ({"question_id": False}, "a text or a number"),
        ({"image": "none.png"}, "'none.png' is not in"),
    ],
)
def test_bad_question_lines_name_their_line(
    folder: Path, values: dict[str, object], message: str
) -> None:
    path = folder / "test_questions.jsonl"
    path.write_text(question_line() + "\n" + question_line(**values))
    with pytest.raises(DataError, match=message) as caught:
        read_vstar_questions(path)
    assert f"{path}:2: " in str(caught.value)


def test_real_samples(real_data: Path) -> None:
    records = read_vstar_folder(real_data / "vstar_mini")
    assert len(records) == 5
    cup = next(r for r in records if r.id == "direct_attributes/living_room_cup")
    assert cup.targets == (Box(1297, 556, 1323, 584),)
    assert cup.answer == "The color of the cup is teal."
