"""Worked solutions and search trees: released layouts, round trips, faults with their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import task
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TraceRecord
from vigorl.core.scoring import ActionMatch, PointInBox, TextMatch
from vigorl.core.search_tree import CheckedBy
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.prompts import OPTIONS, Prompt
from vigorl.data.rescale import rescaled_trace
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_row, tree_task
from vigorl.data.sources.sft_json import read_sft_json, write_sft

LOOK = '<think> At (50, 20). </think>\n<tool_call>\n{"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}\n</tool_call>'  # fmt: skip # noqa: E501
SEEN = "<observation>\nHere is the crop of the image centered on the coordinate:\n<image>\n</observation>"  # fmt: skip # noqa: E501
ANSWER = (
    "<think>\nIt is red.\n</think>\n<answer> red </answer>"  # the released single-turn spelling
)
CALL = ToolCall("search_coordinate", {"coordinate": [50, 20]})


def chat(*contents: str, system: str | None = "Old prompt.") -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return [{"role": "system", "content": system}, *messages] if system is not None else messages


@pytest.fixture
def write(tmp_path: Path, picture: Callable[..., str]) -> Callable[..., Path]:
    picture("a.png", (100, 80))

    def rows(*values: dict[str, Any], as_list: bool = True) -> Path:
        path = tmp_path / "sft.json"
        text = json.dumps(list(values)) if as_list else "\n".join(map(json.dumps, values))
        path.write_text(text)
        return path

    return rows


def row(*contents: str, **values: object) -> dict[str, Any]:
    messages = chat(*(contents or ("<image>\nWhat?", ANSWER)))
    base = {"id": 3, "metadata": {}, "messages": messages, "images": ["a.png"], "gt_answer": "red"}
    return base | values


@pytest.mark.parametrize("as_list", [True, False])
def test_single_turn_row_of_a_list_or_of_lines(write: Callable[..., Path], as_list: bool) -> None:
    (record,) = read_sft_json(write(row(), as_list=as_list))
    assert record.trace == Trace((Step("It is red."),), "red")
    assert (record.task.id, record.task.question, record.task.answer) == ("3", "What?", "red")
    assert record.frame == Size(100, 80)  # coordinates refer to the file
    assert record.system == "Old prompt."
    assert record.task.source.endswith("sft.json (item 1)" if as_list else "sft.json:1")


def test_multi_turn_row_becomes_steps_and_its_crops_are_not_needed(
    write: Callable[..., Path],
) -> None:
    solved = row("<image>\nWhat?", LOOK, SEEN, ANSWER, images=["a.png", "never_unpacked.png"])
    (record,) = read_sft_json(write(solved), keep_system=False)
    assert record.trace == Trace((Step("At (50, 20).", CALL), Step("It is red.")), "red")
    assert len(record.task.images) == 1
    assert record.system is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("<image>What?"), "in turn, ending in assistant"),
        (row("<image>What?", LOOK), "the last turn must answer"),
        (row("<image>What?", ANSWER, SEEN, ANSWER), "answers before the end"),
        (row("<image>What?", "red"), "no_think"),
        (row(messages=[]), "in turn, ending in assistant"),
        (row(messages=[{"role": "user"}]), 'the key "content" is missing'),
        (row(images=[]), "1 pictures in the question, but 0"),
        (row(images=["b.png"]), "'b.png' is not in"),
        (row(metadata=[1]), '"metadata" must be an object'),
        (row(metadata={"frame": [0, 5]}), '"frame" must be'),
        (row(metadata={"targets": [[0, 0, 500, 5]]}), "not on the 100x80 picture"),
        (row(metadata={"options": ["a", "b"]}), "not among the options"),
    ],
)
def test_bad_rows_name_file_and_place(
    write: Callable[..., Path], bad: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_sft_json(write(row(), bad))
    assert "sft.json: item 2: " in str(caught.value)
    with pytest.raises(DataError, match=message) as caught:
        read_sft_json(write(row(), bad, as_list=False))
    assert "sft.json:2: " in str(caught.value)


def test_a_point_answer(write: Callable[..., Path]) -> None:
    solved = row("<image>Where?", "<think> x </think>\n<answer> (15, 25) </answer>")
    path = write(solved | {"gt_answer": "(10, 20, 30, 40)"})
    (record,) = read_sft_json(path, scorer=PointInBox())
    assert record.task.scorer.boxes
    assert record.trace.answer == "(15, 25)"


@pytest.mark.parametrize("frame", [None, Size(112, 96)])
@pytest.mark.parametrize("system", [None, "", "Only read."])
def test_written_traces_come_back(
    tmp_path: Path, picture: Callable[..., str], frame: Size | None, system: str | None
) -> None:
    asked = task(images=(picture("p/a.png"),), category="colour")
    trace = Trace((Step("At (50, 20).", CALL), Step("It is red.")), "red")
    records = [
        TraceRecord(asked, trace, frame, system),
        TraceRecord(replace(asked, question="Like <image>?"), Trace((Step("x"),), "red"), frame),
    ]
    write_sft(records, tmp_path / "out.jsonl")
    back = read_sft_json(tmp_path / "out.jsonl")
    assert [replace(r, task=replace(r.task, source="")) for r in back] == records


NODE = {
    "thought_text": "root", "is_terminal": False, "value": 0.5, "visit_count": 2,
    "used_coords": [[50, 20]],
    "rollouts": [{"final_answer": "red", "reward": 1.0, "ephemeral_texts": ["a", "b"],
                  "ephemeral_depth": 2, "depth": 2}],
    "children": [],
}  # fmt: skip
TREE = NODE | {
    "children": [
        NODE | {"thought_text": "child", "is_terminal": True, "rollouts": [], "used_coords": []}
    ]
}
SEARCHED = {"question": "What?", "image": "a.png", "true_answer": "red", "tree": TREE, "id": 7}


def test_a_search_tree(write: Callable[..., Path]) -> None:
    first, second = read_mcts_jsonl(write(SEARCHED, SEARCHED, as_list=False))
    assert (first.id, first.answer, second.source[-2:]) == ("7", "red", ":2")
    assert [node.text for node in first.root.walk()] == ["root", "child"]
    assert first.root.used_points == (Point(50, 20),)
    assert first.root.rollouts[0].texts == ("a", "b")
    assert first.root.children[0].is_terminal


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ({"value": "high"}, r"tree.children\[0\]: \"value\" must be a number"),
        ({"rollouts": [{"reward": None}]}, r"tree.children\[0\].rollouts\[0\]: \"reward\""),
        ({"used_coords": [[1]]}, r"tree.children\[0\]: \"used_coords\""),
        ({"used_coords": 5}, r"tree.children\[0\]: \"used_coords\" must be a list .* got 5"),
        ({"used_coords": {}}, r"tree.children\[0\]: \"used_coords\" must be a list"),
        ({"is_terminal": "false"}, r"tree.children\[0\]: \"is_terminal\" must be true, false or"),
        ({"is_hit": 1}, r"tree.children\[0\]: \"is_hit\" must be true, false or missing, got 1"),
        ({"children": {}}, r"tree.children\[0\]: \"children\" must be a list of objects"),
        ({"rollouts": ""}, r"tree.children\[0\]: \"rollouts\" must be a list of objects"),
    ],
)
def test_a_bad_node_says_where_in_the_tree_it_is(
    write: Callable[..., Path], child: dict[str, object], message: str
) -> None:
    bad = SEARCHED | {"tree": NODE | {"children": [NODE | child]}}
    with pytest.raises(DataError, match=r"sft.json:2: " + message):
        read_mcts_jsonl(write(SEARCHED, bad, as_list=False))


def test_who_checked_a_tree_is_known_or_nobody(write: Callable[..., Path]) -> None:
    judged = SEARCHED | {"checked_by": "judge"}
    first, second = read_mcts_jsonl(write(SEARCHED, judged, as_list=False))
    assert (first.checked_by, second.checked_by) == (None, CheckedBy.JUDGE)
    with pytest.raises(DataError, match=r'sft.json:1: .*"checked_by" must be boxes, judge'):
        read_mcts_jsonl(write(SEARCHED | {"checked_by": "me"}, as_list=False))


@pytest.mark.parametrize("key", ["children", "rollouts", "used_coords", "is_terminal"])
def test_what_a_node_may_leave_out(write: Callable[..., Path], key: str) -> None:
    without = {name: value for name, value in NODE.items() if name != key}
    trees = [SEARCHED | {"tree": tree} for tree in (without, NODE | {key: None})]
    missing, null = read_mcts_jsonl(write(*trees, as_list=False))
    assert missing.root == null.root
    assert not missing.root.is_terminal


@pytest.mark.parametrize("frame", [[0, 0], [100, -1], [100], [100, 80.0], "100x80", {}])
def test_a_bad_frame_names_file_and_line(write: Callable[..., Path], frame: object) -> None:
    path = write(SEARCHED, SEARCHED | {"frame": frame}, as_list=False)
    with pytest.raises(DataError, match=r'sft.json:2: "frame" must be \[width, height\]'):
        read_mcts_jsonl(path)


def test_a_line_without_a_tree_names_file_and_line(write: Callable[..., Path]) -> None:
    path = write(SEARCHED, SEARCHED | {"tree": 1}, as_list=False)
    with pytest.raises(DataError, match=r'sft.json:2: "tree" must be an object'):
        read_mcts_jsonl(path)


def test_the_task_of_a_tree_is_the_question_without_its_slot(write: Callable[..., Path]) -> None:
    searched = SEARCHED | {"question": "<image>\nPress it.", "true_answer": "(10, 20, 30, 40)"}
    (tree,) = read_mcts_jsonl(write(searched, as_list=False))
    asked = tree_task(tree, scorer=PointInBox())
    assert (asked.id, asked.question, asked.answer) == ("7", "Press it.", "(10, 20, 30, 40)")
    assert asked.scorer == PointInBox(Box(10, 20, 30, 40))
    assert (asked.images, asked.source) == ((tree.image,), tree.source)
    assert tree_task(tree).scorer == TextMatch()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"true_answer": "red"}, '"true_answer": must be a box'),
        ({"true_answer": "(10, 20, 300, 40)"}, "is not on the 100x80 picture"),
        ({"question": "<image> and <image>?"}, "2 <image> slots in the question, but 1 pictures"),
        ({"question": "<image>?", "more_images": ["a.png"]}, "1 <image> slots .* but 2 pictures"),
    ],
)
def test_a_tree_that_makes_no_task_names_file_and_line(
    write: Callable[..., Path], wrong: dict[str, str], message: str
) -> None:
    good = {"true_answer": "(10, 20, 30, 40)"}
    path = write(SEARCHED, SEARCHED | good | wrong, as_list=False)
    with pytest.raises(DataError, match=r"sft.json:2: .*" + message):  # the last two when read
        tree_task(read_mcts_jsonl(path)[1], scorer=PointInBox())


@pytest.mark.parametrize(
    "said",
    [
        {"category": "colour"},
        {"options": (), "targets": (), "question": "What colour is the disc in <image>?"},
        {"options": (), "answer": "(190, 70, 210.5, 90)",
         "scorer": PointInBox(Box(190, 70, 210.5, 90)),
         "targets": (Box(190, 70, 210.5, 90),)},
        {"options": (), "answer": "click [12]", "scorer": ActionMatch()},
        {"question": "<image><image>\nWhich is redder?", "images": 2},
    ],
)  # fmt: skip
def test_the_task_of_our_own_tree_is_the_task_that_was_searched(
    write: Callable[..., Path], picture: Callable[..., str], said: dict[str, Any]
) -> None:
    images = tuple(picture(f"p/{i}.png") for i in range(said.get("images", 1)))
    asked = task(**(said | {"images": images}))
    (released,) = read_mcts_jsonl(write(SEARCHED, as_list=False))
    tree = replace(
        released, id=asked.id, question=asked.question, answer=asked.answer, image=images[0],
        more_images=images[1:], scorer=asked.scorer, options=asked.options,
        targets=asked.targets, category=asked.category,
    )  # fmt: skip
    path = write(tree_row(tree, root=Path(images[0]).parents[1]), as_list=False)
    (back,) = read_mcts_jsonl(path)
    assert back == replace(tree, source=back.source)
    # what the tree says of itself goes before what the caller thinks of the file
    found = tree_task(back, scorer=ActionMatch(compare_typed_text=True))
    assert found == replace(asked, source=back.source)


def test_trees_of_vigorl_0_1_named_a_kind_of_answer(write: Callable[..., Path]) -> None:
    kinds = [("text", "red"), ("point", "(1, 2, 30, 40)"), ("action", "click [12]"), (None, "red")]
    rows = [SEARCHED | {"answer_kind": kind, "true_answer": answer} for kind, answer in kinds]
    assert [tree.scorer for tree in read_mcts_jsonl(write(*rows, as_list=False))] == [
        TextMatch(), PointInBox(Box(1, 2, 30, 40)), ActionMatch(), None,
    ]  # fmt: skip


def test_a_right_letter_is_right_by_the_options_of_the_tree(write: Callable[..., Path]) -> None:
    ours = SEARCHED | {"options": ["blue", "red"]}
    alone, with_options = map(tree_task, read_mcts_jsonl(write(SEARCHED, ours, as_list=False)))
    assert not alone.is_right("(B)")
    assert with_options.is_right("(B)")
    asked = Prompt("", options=OPTIONS)
    assert "(A) blue\n(B) red" in asked.messages(with_options)[-1].text


def test_released_trees_say_no_more_than_before(write: Callable[..., Path]) -> None:
    (tree,) = read_mcts_jsonl(write(SEARCHED, as_list=False))
    row = tree_row(tree, root=Path(tree.image).parent)
    own = {"format", "system_prompt", "frame", "solved_at", "num_simulations", "checked_by"}
    assert set(row) == {*SEARCHED, *own}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"options": ["blue", "green"]}, "'red' is not among the options"),
        ({"options": "red"}, '"options" must be a list of texts'),
        ({"targets": [[0, 0, 500, 5]]}, "not on the 100x80 picture"),
        (
            {"answer_kind": "letter"},
            r"\"answer_kind\" must be one of \['text', 'point', 'action'\]",
        ),
        ({"answer_kind": ["text"]}, '"answer_kind" must be one of'),
        ({"answer_kind": "point"}, '"true_answer": must be a box'),
        (
            {"format": 2, "scorer": {"_target_": "absent.Nobody"}},
            "scorer 'absent.Nobody' is not vigorl's",
        ),
        ({"format": 2, "scorer": "text"}, "scorer: expected an object"),
        ({"format": 3}, '"format" must be 2, or missing'),
        ({"more_images": ["b.png"]}, "'b.png' is not in"),
        ({"category": 3}, '"category" must be a text'),
    ],
)
def test_bad_words_of_the_question_name_file_and_line(
    write: Callable[..., Path], bad: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=r"sft.json:2: .*" + message):
        read_mcts_jsonl(write(SEARCHED, SEARCHED | bad, as_list=False))


def test_a_solution_in_shares_of_its_picture_is_taken_so(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the width of 100 and a quarter of the height of 80."""
    told = LOOK.replace("(50, 20)", "(0.5, 0.25)").replace("[50, 20]", "[0.5, 0.25]")
    (record,) = read_sft_json(write(row("What?", told, SEEN, ANSWER)))
    assert record.frame == Size(1, 1)
    assert "1 solutions point in shares" in caplog.text
    shown = ImageView(FileImage("a.png"), Size(100, 80), Size(200, 160))
    first = rescaled_trace(record, image=shown).steps[0]
    assert first == Step("At (100, 40).", ToolCall("search_coordinate", {"coordinate": [100, 40]}))
    (record,) = read_sft_json(write(row("What?", LOOK, SEEN, ANSWER)))
    assert record.frame == Size(100, 80)
