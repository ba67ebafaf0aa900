"""What is said of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.point import PointInBox
from vigorl.data.__main__ import words_for
from vigorl.data.inspection import inspect_splits, kind_of
from vigorl.data.splits import DataSplits


def task(number: int, answer: str, picture: Path, **more: object) -> TaskRecord:
    return TaskRecord(
        str(number), "Which colour?", answer, (str(picture),), source=f"a.csv:{number}", **more
    )  # pyright: ignore[reportArgumentType]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_contradictions_are_problems_and_repeats_remarks(picture: Path) -> None:
    copy = picture.with_name("b.png")
    copy.write_bytes(picture.read_bytes())
    tasks = [task(1, "red", picture), task(2, "blue", copy), task(3, "red", picture)]
    found = inspect_splits(DataSplits(train_tasks=tasks), [], images=None)
    (problem,) = found.problems
    assert problem.startswith("a.csv:2: the answer is 'blue'")
    assert "a.csv:1" in problem
    assert found.remarks == ["a.csv:1: asked again at a.csv:3"]
    assert (found.questions, found.pictures) == ({"train": 3}, {"train": 2})
    assert str(found.widths) == "40 to 40, median 40"


def test_what_needs_no_picture_is_remarked(picture: Path) -> None:
    options = ("red", "blue")
    tasks = [
        task(i, "red" if i < 15 else "blue", picture, options=options, category=str(i))
        for i in range(20)
    ]
    remarks = inspect_splits(DataSplits(train_tasks=tasks), [], images=None).remarks
    assert "15 of 20 answers are 'red': who always says so is right" in remarks
    expected = "the right option is number 1 in 15 of 20 questions: shuffle the options"
    assert expected in remarks


def test_a_box_of_all_of_the_picture_is_remarked(picture: Path) -> None:
    whole = task(1, "red", picture, targets=(Box(0, 0, 40, 30),))
    found = inspect_splits(DataSplits(val_tasks=[whole]), [], images=None)
    assert found.remarks == ["a.csv:1: a box is all of the picture, so every look hits it"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Yes", "yes or no"),
        ("-3.5 %", "numbers"),
        ("red", "single words"),
        ("light red", "texts of several words"),
    ],
)
def test_kinds_of_answers(answer: str, kind: str) -> None:
    assert kind_of(task(1, answer, Path("a.png"))) == kind


def test_kinds_of_places_and_choices() -> None:
    place = task(1, "x", Path("a.png"), scorer=PointInBox(Box(0, 0, 1, 1)))
    choice = task(1, "red", Path("a.png"), options=("red", "blue"))
    assert [kind_of(place), kind_of(choice)] == ["places", "choices of 2"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["inspect"], 2),
        (["look", "a.csv"], 2),
        (["inspect", "data.path=x"], 2),
        (["inspect", "--help"], 0),
    ],
)
def test_another_word_says_how_to_use_it(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        words_for(words)
    said = capsys.readouterr()
    assert ended.value.code == code
    assert (said.err if code else said.out).startswith("usage: python -m vigorl.data inspect FILE")
