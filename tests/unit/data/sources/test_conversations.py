"""Questions of the release that are written as conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.scoring import PointInBox
from vigorl.core.scoring.ending import WithoutEnding
from vigorl.data.sources.conversations import read_conversations

ASKED = (
    "<image>\nQuestion: Which moved?\nAnswer Choices:\nA. the box\nB. neither\n"
    "Answer with the text of the option."
)


def row(asked: str = ASKED, answer: str = "the box", **fields: object) -> dict[str, object]:
    said = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    return {"id": 0, "image": "a.png", "conversations": said, **fields}


@pytest.fixture
def write(tmp_path: Path, picture: Callable[..., str]) -> Callable[..., Path]:
    picture("a.png", (100, 80))
    picture("b.png", (100, 80))

    def rows(*values: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, values)))
        return path

    return rows


def test_options_leave_the_text(write: Callable[..., Path]) -> None:
    (task,) = read_conversations(write(row()))
    assert (task.id, task.question, task.answer) == ("0", "Which moved?", "the box")
    assert task.options == ("the box", "neither")
    assert task.is_right("the box")
    assert task.is_right("A")
    assert not task.is_right("neither")


def test_an_open_question_stays_as_it_is(write: Callable[..., Path]) -> None:
    asked = "<image>OBJECTIVE: Close.\n\nIMAGE:\n"
    (task,) = read_conversations(write(row(asked, "(1, 2, 30, 40)")), scorer=PointInBox())
    assert (task.question, task.options) == ("OBJECTIVE: Close.\n\nIMAGE:", ())
    assert task.scorer.boxes[0].right == 30


def test_several_pictures_keep_their_order_and_their_places(write: Callable[..., Path]) -> None:
    before = row("<image>\n<image>\nQuestion: Same?", "yes", image=["b.png", "a.png"])
    between = row("Is <image> left of <image>?", "no", id=1, image=["a.png", "b.png"])
    first, second = read_conversations(write(before, between))
    assert [Path(path).name for path in first.images] == ["b.png", "a.png"]
    assert first.question == "Question: Same?"
    assert second.question == "Is <image> left of <image>?"


def test_an_ending_that_options_lack_is_left_out_on_both_sides(write: Callable[..., Path]) -> None:
    scorer = WithoutEnding(" in the first frame")
    path = write(row(answer="the box in the first frame"))
    with pytest.raises(DataError, match="is not among the options"):
        read_conversations(path)
    (task,) = read_conversations(path, scorer=scorer)
    assert (task.answer, task.options) == ("the box", ("the box", "neither"))
    assert task.is_right("the box in the first frame.")
    assert task.is_right("the box")
    assert not task.is_right("neither in the first frame")


def test_an_option_may_go_on_in_the_next_line(write: Callable[..., Path]) -> None:
    asked = ASKED.replace("the box\n", "the box\nand the ball\n")
    (task,) = read_conversations(write(row(asked, "the box\nand the ball")))
    assert task.options[0] == "the box\nand the ball"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(answer="the ball"), "'the ball' is not among the options"),
        (row(ASKED.replace("B.", "C.")), r"option \(C\) where \(B\) was due"),
        (row(image=[]), '"image" is empty'),
        (row(image=7), '"image" must be a list of texts'),
        (row(image="c.png"), "'c.png' is not in"),
        (row("<image><image>Which?"), "2 <image> slots in the question, but 1 pictures"),
        (row(conversations=[]), "a question and its answer, got 0 turns"),
        (row(conversations=[{"from": "gpt", "value": "x"}] * 2), "a turn from 'human'"),
    ],
)
def test_bad_rows_name_file_and_line(write: Callable[..., Path], bad: object, message: str) -> None:
    path = write(row(), bad)
    with pytest.raises(DataError, match=message) as caught:
        read_conversations(path)
    assert str(caught.value).startswith(f"{path}:2: ")
