"""TreeBench: the letter, and boxes and points wherever the policy names them."""

from __future__ import annotations

import base64

import pytest

from tests.builders import answer_turn, rollout, turn
from tests.builders import task as made_task
from tests.unit.evaluation.benchmarks.conftest import Write, png
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box
from vigorl.evaluation.benchmarks.treebench import TreeBench


def row(boxes: str = "[[4, 6, 20, 18]]", **fields: str) -> dict[str, object]:
    return {
        "index": "0",
        "image": base64.b64encode(png()).decode(),
        "question": "What?",
        "multi-choice options": "A. red",
        "A": "red",
        "B": "yellow",
        "C": "None",
        "D": "",
        "answer": "B",
        "category": "Perception/OCR",
        "target_instances": boxes,
        **fields,
    }


def bench(root: object) -> TreeBench:
    return TreeBench(name="treebench", download="", root=str(root), file="TreeBench.tsv")


def test_letters_boxes_and_categories(write: Write) -> None:
    (task,) = bench(write("TreeBench.tsv", [row()])).tasks()
    assert (task.options, task.answer) == (("red", "yellow", "None"), "yellow")
    assert task.targets == (Box(4, 6, 20, 18),)
    assert (task.category, task.tags["kind"]) == ("Perception/OCR", "Perception")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ("[[4, 6, 20, 180]]", "not on the 40x30 picture"),
        ("none", '"target_instances" is no list'),
    ],
)
def test_boxes_off_the_picture_are_named(write: Write, boxes: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bench(write("TreeBench.tsv", [row(boxes)])).tasks()


# the builders' picture is 448 x 448, shown at 112 x 112: the disc [190, 70, 210, 90] over 4
@pytest.mark.parametrize(
    "named",
    ["<box>[47.5, 17.5, 52.5, 22.5]</box>", "(47.5,17.5,52.5,22.5)", "at [ 47.5,17.5, 52.5,22.5 ]"],
)
def test_boxes_are_found_anywhere_in_the_frame_of_the_policy(named: str) -> None:
    said = rollout(
        turn(f"<think> It is {named}. </think>\n<answer> red </answer>"), task=made_task()
    )
    found = bench("x").extras(said)
    assert (found["answered_boxes"], found["iou"]) == (1.0, pytest.approx(1.0))


def test_without_a_box_the_overlap_is_0_and_points_count_apart() -> None:
    silent = bench("x").extras(rollout(answer_turn("red")))
    assert (silent["answered_boxes"], silent["iou"]) == (0.0, 0.0)
    assert "iou_where_answered" not in silent
    pointed = turn("<think> Look at (50, 20), then at (90, 90). </think>\n<answer> red </answer>")
    assert bench("x").extras(rollout(pointed))["points_in_targets"] == 0.5
    assert "points_in_targets" not in bench("x").extras(rollout(turn("<answer> red </answer>")))
