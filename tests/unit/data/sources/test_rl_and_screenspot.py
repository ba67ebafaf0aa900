"""RL rows and screenshots: what they mean, and what stops a run."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box
from vigorl.core.scoring import ActionMatch, PointInBox, Scorer, TextMatch
from vigorl.data.faults import Rules
from vigorl.data.sources.files import read_lines
from vigorl.data.sources.rl_jsonl import read_rl_jsonl, write_rl_jsonl
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2

ROW = {"problem": "<image>What?", "answer": "red", "images": ["a.png"]}


@pytest.fixture
def write(tmp_path: Path, picture: Callable[..., str]) -> Callable[..., Path]:
    picture("a.png", (100, 80))

    def rows(*values: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(v if isinstance(v, str) else json.dumps(v) for v in values))
        return path

    return rows


def test_a_released_row(write: Callable[..., Path], tmp_path: Path) -> None:
    (record,) = read_rl_jsonl(write(ROW))
    path = tmp_path / "rows.jsonl"
    assert record == task(
        id="rows:1", question="<image>What?", answer="red", images=(str(tmp_path / "a.png"),),
        options=(), targets=(), source=f"{path}:1",
    )  # fmt: skip


def test_a_point_answer_is_the_box_to_hit(write: Callable[..., Path]) -> None:
    path = write(ROW | {"answer": "(10, 20, 30, 40)"})
    (record,) = read_rl_jsonl(path, scorer=PointInBox())
    assert record.scorer == PointInBox(Box(10, 20, 30, 40))


def test_both_spellings_of_target_boxes(write: Callable[..., Path]) -> None:
    as_v2, as_vstar = {"targets": [[10, 20, 40, 60]]}, {"bbox": [[10, 20, 30, 40]]}
    first, second = read_rl_jsonl(write(ROW | as_v2, ROW | as_vstar))
    assert first.targets == second.targets == (Box(10, 20, 40, 60),)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{'problem'}", "is not JSON"),
        ("[1]", "must be a JSON object"),
        ({"problem": "?", "images": ["a.png"]}, 'the key "answer" is missing'),
        (ROW | {"answer": 3}, '"answer" must be a text, got 3'),
        (ROW | {"images": []}, '"images" is empty'),
        (ROW | {"images": "a.png"}, '"images" must be a list of texts'),
        (ROW | {"images": ["b.png"]}, "'b.png' is not in"),
        (ROW | {"problem": "<image><image>"}, "2 <image> slots in the question, but 1 pictures"),
        (ROW | {"options": ["green", "blue"]}, "'red' is not among the options"),
        (ROW | {"targets": [[0, 0, 102, 5]]}, "not on the 100x80 picture"),
        (ROW | {"bbox": [[0, 0, 1, 1]], "targets": []}, "keep one"),
    ],
)
def test_bad_rows_name_file_and_line(write: Callable[..., Path], bad: object, message: str) -> None:
    path = write(ROW, "", bad)
    with pytest.raises(DataError, match=message) as caught:
        read_rl_jsonl(path)
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize("answer", ["red", "(1, 2, 3)", "(5, 5, 5, 9)", "(0, 0, 200, 10)"])
def test_a_point_answer_must_be_a_box_on_the_picture(
    write: Callable[..., Path], answer: str
) -> None:
    with pytest.raises(DataError, match=r"rows.jsonl:1: .*answer"):
        read_rl_jsonl(write(ROW | {"answer": answer}), scorer=PointInBox())


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rl_jsonl(tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl").write_bytes(b"\n\xff\xfe{}")
    with pytest.raises(DataError, match=r"x\.jsonl:2: is not UTF-8 text"):
        read_rl_jsonl(tmp_path / "x.jsonl")


def test_a_byte_order_mark_and_dos_line_ends_are_no_fault(write: Callable[..., Path]) -> None:
    path = write(ROW, ROW)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_rl_jsonl(path)) == 2


def test_a_long_file_is_not_held_as_a_whole(write: Callable[..., Path]) -> None:
    path = write(*[ROW | {"padding": "x" * 100_000}] * 50)  # 5 MB
    tracemalloc.start()
    try:
        num_rows = sum(1 for _ in read_lines(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_rows == 50
    assert peak < 2_000_000


@pytest.mark.parametrize("scorer", [TextMatch(), PointInBox()])
def test_written_tasks_come_back(
    tmp_path: Path, picture: Callable[..., str], scorer: Scorer
) -> None:
    is_point = scorer == PointInBox()
    record = task(
        images=(picture("pictures/a.png"),), category="colour",
        answer="(1, 2, 3.5, 4)" if is_point else "red",
        options=() if is_point else ("blue", "red"),
        scorer=PointInBox(Box(1, 2, 3.5, 4)) if is_point else scorer,
        question="Größe\u2028?",  # a line separator that is no line end in JSONL
    )  # fmt: skip
    write_rl_jsonl([record, record], tmp_path / "out.jsonl")
    back = read_rl_jsonl(tmp_path / "out.jsonl", scorer=scorer)
    assert [replace(r, source="") for r in back] == [record, record]


def test_a_picture_elsewhere_is_named_by_the_way_there(
    tmp_path: Path, picture: Callable[..., str]
) -> None:
    far = task(images=(picture("far/a.png"),))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_rl_jsonl([far], tmp_path / "deep" / "er" / "x.jsonl")
    with pytest.raises(DataError, match=r"leads out of .*data.pictures_anywhere=true allows it"):
        read_rl_jsonl(tmp_path / "deep" / "er" / "x.jsonl")
    rules = Rules(pictures_anywhere=True)
    (back,) = read_rl_jsonl(tmp_path / "deep" / "er" / "x.jsonl", rules=rules)
    assert Path(back.images[0]).samefile(far.images[0])
    assert "../../far/a.png" in (tmp_path / "deep" / "er" / "x.jsonl").read_text()


def test_a_picture_behind_a_link_is_named_by_the_link(
    tmp_path: Path, picture: Callable[..., str]
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(picture("store/7f3e.png"))
    path, linked = tmp_path / "set" / "x.jsonl", str(tmp_path / "set" / "a.png")
    write_rl_jsonl([task(images=(linked,))], path)
    assert read_rl_jsonl(path)[0].images == (linked,)
    (tmp_path / "alias").symlink_to(tmp_path / "set")  # the folder by another name
    write_rl_jsonl([task(images=(linked,))], tmp_path / "alias" / "y.jsonl")
    assert len(read_rl_jsonl(tmp_path / "alias" / "y.jsonl")) == 1


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "b/../../a.png"])
def test_names_that_leave_the_root_are_refused(
    write: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    path = write(ROW | {"images": [name]})
    with pytest.raises(DataError, match=r":1: picture .* leads out of"):
        read_rl_jsonl(path, image_root=tmp_path / "set")


def screens(tmp_path: Path, picture: Callable[..., str], **values: object) -> Path:
    picture("images/a.png", (100, 80))
    row = {"img_filename": "a.png", "bbox": [10, 20, 30, 40], "instruction": "log in"}
    (tmp_path / "s.json").write_text(json.dumps([row | values]))
    return tmp_path / "s.json"


def test_v2_boxes_have_a_size_and_pro_boxes_two_corners(
    tmp_path: Path, picture: Callable[..., str]
) -> None:
    path = screens(tmp_path, picture, data_type="icon", data_source="web", group="CAD")
    (v2,), (pro,) = read_screenspot_v2(path), read_screenspot_pro(path)
    assert (v2.scorer.boxes[0], v2.answer) == (Box(10, 20, 40, 60), "(10, 20, 40, 60)")
    assert (pro.scorer.boxes[0], pro.answer) == (Box(10, 20, 30, 40), "(10, 20, 30, 40)")
    assert (v2.category, pro.category) == ("web/icon", "CAD")
    assert v2.id == "s:1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bbox": [90, 20, 95, 82]}, "not on the 100x80"),
        ({"bbox": None}, "four numbers"),
        ({"img_size": [80, 100]}, "the screenshot is 100x80"),
        ({"img_filename": "b.png"}, "'b.png' is not in"),
    ],
)
def test_bad_screens_name_file_and_item(
    tmp_path: Path, picture: Callable[..., str], values: dict[str, object], message: str
) -> None:
    path = screens(tmp_path, picture, **values)
    with pytest.raises(DataError, match=message) as caught:
        read_screenspot_pro(path)
    assert str(caught.value).startswith(f"{path}: item 1: ")


def test_real_samples(real_data: Path) -> None:
    screens = read_screenspot_v2(real_data / "screenspot_mini" / "screenspot_web_v2.json")
    assert len(screens) == 5
    assert screens[0].scorer.boxes[0] == Box(963, 262, 1069, 288)
    path = real_data / "web_action_mini" / "web_action_RL.jsonl"
    first, second = read_rl_jsonl(path, scorer=ActionMatch())
    assert second.answer == "click [19]"
    assert first.question.startswith("<image>OBJECTIVE: Leave a comment")


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([0.25, 0.5, 0.5, 0.75], Box(25, 40, 50, 60)),  # of 100 x 80
        ([0, 0, 0.5, 1], Box(0, 0, 50, 80)),
        ([-0.5, 70, 20, 80.9], Box(0, 70, 20, 80)),  # less than a pixel over
        ([90, 0, 101, 10], Box(90, 0, 100, 10)),
        ([0, 0, 1, 1], Box(0, 0, 1, 1)),
    ],
)
def test_shares_and_borders_are_taken_as_meant(
    tmp_path: Path, picture: Callable[..., str], caplog: pytest.LogCaptureFixture,
    bbox: list[float], box: Box,
) -> None:  # fmt: skip
    (task,) = read_screenspot_pro(screens(tmp_path, picture, bbox=bbox))
    assert (task.scorer.boxes, task.targets) == ((box,), (box,))
    is_said = "1 boxes are shares" in caplog.text or "1 boxes reach" in caplog.text
    assert is_said is (bbox != [0, 0, 1, 1])
    row = ROW | {"answer": str(tuple(bbox))}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row | {"images": ["images/a.png"]}))
    (task,) = read_rl_jsonl(tmp_path / "rows.jsonl", scorer=PointInBox())
    assert task.scorer == PointInBox(box)


@pytest.mark.parametrize(
    ("bbox", "said"),
    [
        ([90, 0, 101.5, 10], r"item 1: \"bbox\": box \(90, 0, 101.5, 10\) is not on the 100x80"),
        ([100, 0, 101, 10], "left < right"),  # nothing of it is on the picture
        ([0.2, 0.2, 1.1, 0.1], "left < right"),
    ],
)
def test_boxes_off_the_picture_are_refused(
    tmp_path: Path, picture: Callable[..., str], bbox: list[float], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_screenspot_pro(screens(tmp_path, picture, bbox=bbox))
