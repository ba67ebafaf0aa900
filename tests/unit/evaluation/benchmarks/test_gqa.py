"""GQA: two tables joined by the picture."""

from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import DataError
from vigorl.evaluation.benchmarks.gqa import Gqa

QUESTIONS, PICTURES = (
    "testdev_balanced_instructions/t-0.parquet",
    "testdev_balanced_images/t-0.parquet",
)


def row(name: str, picture: str, answer: str) -> dict[str, object]:
    types = {"detailed": "relO", "semantic": "rel", "structural": "query"}
    return {"id": name, "imageId": picture, "question": "What?", "answer": answer, "types": types}


def gqa(root: object) -> Gqa:
    return Gqa(
        name="gqa", download="", root=str(root), file="testdev_balanced_instructions/*.parquet"
    )


def test_questions_find_their_picture_and_cluster_by_it(write: Write) -> None:
    write(PICTURES, [{"id": "n1", "image": cell(1)}, {"id": "n2", "image": cell(2)}])
    root = write(
        QUESTIONS, [row("7", "n2", "table"), row("8", "n1", "no"), row("9", "n2", "woman")]
    )
    table, no, woman = gqa(root).tasks()
    assert table.images == woman.images != no.images
    assert [one.cluster for one in (table, no, woman)] == ["n2", "n1", "n2"]
    assert {one.category for one in (table, no, woman)} == {"query"}
    assert table.is_right("Table.")
    assert not table.is_right("the table")  # one accepted answer, as a text
    assert not woman.is_right("lady")


def test_a_picture_that_is_nowhere_is_named(write: Write) -> None:
    write(PICTURES, [{"id": "n1", "image": cell(1)}])
    with pytest.raises(DataError, match="row 1: the picture 'n3' is not among the 1 of the other"):
        gqa(write(QUESTIONS, [row("7", "n3", "table")])).tasks()
