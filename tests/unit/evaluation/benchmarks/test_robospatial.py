"""RoboSpatial-Home: three categories, words and places."""

from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView, TextFrame
from vigorl.evaluation.benchmarks.robospatial import RoboSpatialHome
from vigorl.evaluation.metrics import Mean
from vigorl.evaluation.report import QuestionOutcome

ASKS_FOR_SHARES = (
    "There is a bowl. Pinpoint several points to its right. Your answer should be formatted as a "
    "list of tuples, i.e. [(x1, y1), ...], between 0 and 1."
)


def row(category: str, question: str, answer: str) -> dict[str, object]:
    return {
        "category": category,
        "question": question,
        "answer": answer,
        "img": cell(),
        "depth_image": cell(9),
        "mask": None,
    }


def tasks(write: Write, *rows: dict[str, object]) -> list:
    root = write("data/it-0.parquet", rows)
    bench = RoboSpatialHome(name="robospatial", download="", root=str(root), file="**/*.parquet")
    return list(bench.tasks())


def test_a_place_is_right_in_its_polygon_in_whatever_frame_the_model_writes(write: Write) -> None:
    square = "[(0.5, 0.5), (0.75, 0.5), (0.75, 1.0), (0.5, 1.0)]"
    (task,) = tasks(write, row("context", ASKS_FOR_SHARES, square))
    assert "tuples" not in task.question
    assert task.question.endswith("The answer is one such point, (x, y).")
    pixels = ImageView(
        FileImage(task.images[0]), Size(40, 30), Size(80, 60)
    )  # shown at twice its size
    permille = pixels.in_frame(TextFrame.PERMILLE)
    assert task.is_right("(50, 45)", view=pixels)  # (25, 22.5) of 40 x 30
    assert not task.is_right("(25, 22)", view=pixels)
    assert task.is_right("(625, 750)", view=permille)
    assert not task.is_right("[(100, 100), (625, 750)]", view=permille)  # the first point counts
    assert (task.category, task.tags["kind"]) == ("context", "point")


def test_yes_or_no_is_the_first_word_not_a_part_of_one(write: Write) -> None:
    rows = [row("configuration", "Above?", "no"), row("compatibility", "Does it fit?", "yes")]
    no, yes = tasks(write, *rows)
    assert no.is_right("No, it is not.")
    assert not any(no.is_right(wrong) for wrong in ("I do not know", "nothing", "yes", ""))
    assert yes.is_right("Yes.")
    outcomes = [
        QuestionOutcome(one.id, one.category, one.answer, ("",), (score,), tags=one.tags)
        for one, score in ((no, 1.0), (yes, 0.0))
    ]
    context = QuestionOutcome("c", "context", "", ("",), (1.0,), tags={"kind": "point"})
    assert Mean(("kind", "yes_no"))([*outcomes, context]) == 0.5


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("kitchen", "Above?", "no"), '"category" must be one of context'),
        (("context", "Where?", "yes"), '"answer": must be at least three corners'),
        (
            ("configuration", "Above?", "[(0, 0), (1, 0), (1, 1)]"),
            '"answer": must be "yes" or "no"',
        ),
    ],
)
def test_rows_of_another_kind_are_refused(write: Write, bad: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        tasks(write, row(*bad))
