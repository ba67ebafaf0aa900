"""Rows that no data set should hold end in a DataError with file and line, all of them at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.data.faults import NAMED, Rules
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.sources.screenspot import read_screenspot_v2
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.data.sources.vstar_folder import read_vstar_folder

ROW = {"problem": "What?", "answer": "red", "images": ["a.png"]}
SCREEN = {"img_filename": "a.png", "bbox": [1, 2, 3, 4], "instruction": "log in"}
NODE = {"thought_text": "What?", "is_terminal": False, "value": 0.0, "visit_count": 1}
TREE = {"question": "What?", "image": "a.png", "true_answer": "red", "tree": NODE}
DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 5000


@pytest.fixture
def lines(tmp_path: Path, picture: Callable[..., str]) -> Callable[..., Path]:
    picture("a.png", (100, 80))

    def write(*rows: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
        return path

    return write


def with_text(text: str, row: object = ROW, **keys: str) -> str:
    """The row with a literal JSON text put in where it says "HERE"."""
    assert isinstance(row, dict)
    return json.dumps(row | keys).replace('"HERE"', text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (DEEP, "in too many brackets"),
        (with_text(DEEP, category="HERE"), "in too many brackets"),
        (with_text(DIGITS, id="HERE"), "not finite, or too large"),
        (with_text("[[1, 2, NaN, 4]]", targets="HERE"), "not finite, or too large"),
        (with_text("[[1, 2, 1e999, 4]]", targets="HERE"), "not finite, or too large"),
        (with_text(f"[[1, 2, 1{'0' * 400}, 4]]", targets="HERE"), "boxes of four numbers"),
        (with_text(r'"half an \ud83d"', problem="HERE"), "half of a character"),
        (with_text(r'"\udc00"', images="HERE"), "half of a character"),
        (ROW | {"images": ["a" * 5000]}, "is not in"),
        (ROW | {"images": ["a\0b"]}, "is not in"),
        (ROW | {"id": True}, '"id" must be a text or a number, got True'),
        (ROW | {"problem": " <image> \n"}, "the question is empty"),
        (ROW | {"answer": " "}, "the answer is empty"),
        (ROW | {"options": ["red", "red"]}, "2 to 26 different texts"),
        (ROW | {"options": ["red", ""]}, "2 to 26 different texts"),
        (ROW | {"options": ["red"]}, "2 to 26 different texts"),
        (ROW | {"options": ["red", *map(str, range(26))]}, "2 to 26 different texts"),
    ],
)
def test_what_a_row_may_not_hold(lines: Callable[..., Path], line: object, message: str) -> None:
    path = lines(ROW, line)
    with pytest.raises(DataError, match=message) as caught:
        read_rl_jsonl(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert len(str(caught.value)) < 600
    assert len(read_rl_jsonl(path, rules=Rules(skip_bad_rows=True))) == 1


@pytest.mark.parametrize("name", ["text.png", "empty.png"])
def test_a_picture_without_a_header_is_found_while_loading(
    lines: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.png").write_text("<html>not found</html>")
    (tmp_path / "empty.png").write_bytes(b"")
    path = lines(ROW, ROW | {"images": [name]})
    with pytest.raises(DataError, match=rf"{name}: .*named by {path}:2"):
        read_rl_jsonl(path)


def test_all_bad_rows_are_named_at_once(
    lines: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    bad = [ROW | {"answer": ""}] * (NAMED + 5)
    path = lines(ROW, *bad, ROW)
    with pytest.raises(DataError) as caught:
        read_rl_jsonl(path)
    said = str(caught.value)
    assert said.startswith(f"{NAMED + 5} of {NAMED + 7} rows cannot be used: {path}:2: ")
    assert f"{path}:{NAMED + 1}: " in said
    assert f"{path}:{NAMED + 2}: " not in said
    assert "and 5 more; data.skip_bad_rows=true" in said
    with caplog.at_level(logging.WARNING):
        tasks = read_rl_jsonl(path, rules=Rules(skip_bad_rows=True))
    assert [task.source for task in tasks] == [f"{path}:1", f"{path}:{NAMED + 7}"]
    assert f"left out, as data.skip_bad_rows=true says: {NAMED + 5} of" in caplog.text


def test_leaving_out_every_row_is_an_error(lines: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="none is left"):
        read_rl_jsonl(lines(DEEP, "{}"), rules=Rules(skip_bad_rows=True))


def test_bad_items_of_a_list_are_left_out_too(tmp_path: Path, picture: Callable[..., str]) -> None:
    picture("images/a.png", (100, 80))
    path, rows = tmp_path / "s.json", [SCREEN, 7, SCREEN | {"bbox": "HERE"}, SCREEN]
    path.write_text(json.dumps(rows).replace('"HERE"', f"[1, 2, {DIGITS}, Infinity]"))
    tasks = read_screenspot_v2(path, rules=Rules(skip_bad_rows=True))
    assert [task.source for task in tasks] == [f"{path} (item 1)", f"{path} (item 4)"]
    with pytest.raises(DataError, match=r"item 2: must be a JSON object.*item 3: holds a number"):
        read_screenspot_v2(path)
    path.write_text(DEEP)
    with pytest.raises(DataError, match="in too many brackets"):
        read_screenspot_v2(path)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "1" + "0" * 400, "[NaN]"])
def test_a_trace_calls_with_numbers_that_are_some(lines: Callable[..., Path], number: str) -> None:
    call = f'{{"name": "look", "arguments": {{"coordinate": [{number}, 2]}}}}'
    turns = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": f"<think> a </think>\n<tool_call>\n{call}\n</tool_call>"},
        {"role": "user", "content": "<observation>\n</observation>"},
        {"role": "assistant", "content": "<think> b </think>\n<answer> red </answer>"},
    ]
    path = lines({"messages": turns, "images": ["a.png"]})
    with pytest.raises(DataError, match=r":1: 'look' is called with a number that is none"):
        read_sft_json(path)


@pytest.mark.parametrize("count", [10**9, -1, 1.5, True])
@pytest.mark.parametrize("key", ["solved_at", "num_simulations"])
def test_a_search_of_impossible_length_is_refused(
    lines: Callable[..., Path], key: str, count: object
) -> None:  # a page has a place for each simulation
    with pytest.raises(DataError, match=f':1: "{key}" must be a'):
        read_mcts_jsonl(lines(TREE | {key: count}))


def test_a_tree_in_shares_of_its_picture_says_so(lines: Callable[..., Path]) -> None:
    shares, pixels = ({"tree": NODE | {"used_coords": [some]}} for some in ([0.5, 1], [1, 1]))
    trees = read_mcts_jsonl(lines(TREE | shares, TREE | pixels, TREE | shares | {"frame": [2, 2]}))
    assert [tree.frame for tree in trees] == [Size(1, 1), None, Size(2, 2)]


def test_a_tree_without_end_is_refused(lines: Callable[..., Path]) -> None:
    """JSON reads about 200 times as deep as what walks the tree."""
    opening = json.dumps(NODE)[:-1] + ', "children": ['
    deep = opening * 900 + json.dumps(NODE) + "]}" * 900
    path = lines(with_text(deep, TREE, tree="HERE"))
    with pytest.raises(DataError, match=":1: "):
        read_mcts_jsonl(path)


def test_a_question_file_of_brackets(tmp_path: Path, picture: Callable[..., str]) -> None:
    picture("direct_attributes/a.png")
    (tmp_path / "direct_attributes" / "a.json").write_text(DEEP)
    with pytest.raises(DataError, match=r"direct_attributes/a\.json: is JSON in too many brackets"):
        read_vstar_folder(tmp_path, categories=["direct_attributes"])
