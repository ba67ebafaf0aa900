"""Tables of one's own, in every form, with columns that are guessed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box
from vigorl.data.faults import noted
from vigorl.data.own_table import OwnTable

NUM = 10


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(NUM):
        Image.new("RGB", (60 + i, 40)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows(**more: Any) -> list[dict[str, Any]]:
    """`more` gives a column its value in each row."""
    return [
        {"Query": f"Which {i}?", "label": "B", "img": f"{i}.png", "choices": ["red", "blue"]}
        | {key: value[i] if isinstance(value, list) else value for key, value in more.items()}
        for i in range(NUM)
    ]


def lines(folder: Path, some: Sequence[object], name: str = "mine.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in some))
    return str(path)


def test_columns_are_guessed_and_told(pictures: Path, tmp_path: Path) -> None:
    table = OwnTable(path=lines(tmp_path, rows()), image_root=str(pictures))
    splits = table.load()
    assert [len(splits.train_tasks), len(splits.val_tasks), len(splits.test_tasks)] == [7, 1, 2]
    assert {task.answer for task in splits.train_tasks} == {"blue"}
    (told,) = table.told()
    assert told.endswith(
        "question=Query (guessed), answer=label (guessed), image=img (guessed), "
        "options=choices (guessed), answer_form=letter"
    )


def test_a_column_that_is_named_and_not_there(pictures: Path, tmp_path: Path) -> None:
    path = lines(tmp_path, rows())
    with pytest.raises(DataError, match=r"data.answer: .*'lable'; did you mean 'label'\?"):
        OwnTable(path=path, answer="lable").load()
    with pytest.raises(DataError, match=r"no column is called as answers are: say data.answer="):
        OwnTable(path=lines(tmp_path, [{"question": "?", "image": "0.png"}])).load()
    slip = {"question": "?", "image": "0.png", "answr": "red"}
    with pytest.raises(
        DataError, match=r"as answers are; did you mean data.answer=answr\? columns:"
    ):
        OwnTable(path=lines(tmp_path, [slip])).load()


@pytest.mark.parametrize("cell", ["red;blue", "red | blue", "red\nblue"])
def test_options_with_marks_between_them(pictures: Path, tmp_path: Path, cell: str) -> None:
    table = OwnTable(path=lines(tmp_path, rows(choices=cell)), image_root=str(pictures))
    task = table.load().train_tasks[0]
    assert (task.options, task.answer) == (("red", "blue"), "blue")


@pytest.mark.parametrize("cell", ["red", "red;;blue", "red;"])
def test_options_that_are_no_list(pictures: Path, tmp_path: Path, cell: str) -> None:
    table = OwnTable(path=lines(tmp_path, rows(choices=cell)), image_root=str(pictures))
    with pytest.raises(DataError, match=r"it is no list: write red;blue or "):
        table.load()


def test_an_empty_picture_cell_is_no_question_without_a_picture(
    pictures: Path, tmp_path: Path
) -> None:
    some = rows(img=["0.png", "", *(f"{i}.png" for i in range(2, NUM))])
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, some[0])
        writer.writeheader()
        writer.writerows(some)
    where = {"image_root": str(pictures), "as_benchmark": True}
    with pytest.raises(
        DataError, match=r"mine\.csv:3: 'img' is empty: data\.pictures_optional=true"
    ):
        OwnTable(path=str(path), **where).load()
    told = OwnTable(path=str(path), pictures_optional=True, **where).load()
    assert [len(task.images) for task in told.test_tasks] == [1, 0, *[1] * 8]
    without = OwnTable(path=str(path), image="", **where).load()
    assert not any(task.images for task in without.test_tasks)


def test_boxes_are_read_in_the_only_way_that_fits(pictures: Path, tmp_path: Path) -> None:
    where = {"image_root": str(pictures), "val_frac": 0.0, "test_frac": 0.0}
    wide = OwnTable(path=lines(tmp_path, rows(bbox=[[20, 20, 5, 6]] * NUM)), **where)
    assert wide.load().train_tasks[0].targets == (Box(20, 20, 25, 26),)
    either = OwnTable(path=lines(tmp_path, rows(bbox=[[2, 2, 5, 6]] * NUM)), **where)
    with pytest.raises(ConfigError, match=r"data\.box_form=xyxy"):
        either.load()


def test_options_at_the_end_of_the_questions(pictures: Path, tmp_path: Path) -> None:
    asked = [
        {"question": f"Which {i}?\n(A) red\n(B) blue", "answer": "B", "image": f"{i}.png"}
        for i in range(NUM)
    ]
    task = OwnTable(path=lines(tmp_path, asked), image_root=str(pictures)).load().train_tasks[0]
    assert (task.options, task.answer) == (("red", "blue"), "blue")
    assert task.question.startswith("Which")
    assert "red" not in task.question


def test_a_column_of_splits_in_a_csv(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer", "image_path", "A", "B", "split"])
        for i in range(NUM):
            split = "train" if i < 6 else "validation" if i < 8 else "test"
            table.writerow([f"Which {i}?", "red", f"{i}.png", "red", "blue", split])
    splits = OwnTable(path=str(path), image_root=str(pictures)).load()
    assert [task.question for task in splits.val_tasks] == ["Which 6?", "Which 7?"]
    assert len(splits.train_tasks) == 6


def test_rows_that_a_program_holds(pictures: Path, tmp_path: Path) -> None:
    held = rows(img=[Image.open(pictures / f"{i}.png") for i in range(NUM)])
    task = OwnTable(path=held).load().train_tasks[0]
    (file,) = task.images
    assert Path(file).is_relative_to(tmp_path / "cache")
    number = int(task.question[6:-1])
    with Image.open(file) as written:
        assert written.size == (60 + number, 40)


def test_empty_cells_of_a_pandas_frame_are_empty(pictures: Path) -> None:
    held = rows(img=[str(pictures / f"{i}.png") for i in range(NUM)], choices="")
    held = [one | {"A": "red", "B": "blue", "C": math.nan} for one in held]
    task = OwnTable(path=held, options=["A", "B", "C"]).load().train_tasks[0]
    assert task.options == ("red", "blue")


def test_a_bad_cell_among_the_first_rows_is_named_with_the_others(pictures: Path) -> None:
    boxes = [[30, 5, 10, 10], "no list", *[None] * 8]
    table = lines(pictures, rows(boxes=boxes), "boxes.jsonl")
    with noted() as faults:
        OwnTable(path=table).load()
    assert [fault.line for fault in faults] == [2]
    spoilt = pictures / "latin.csv"
    spoilt.write_bytes("question,answer,image\nO\u00f9?,red,0.png\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv:2: is not UTF-8"):
        OwnTable(path=str(spoilt)).load()


def test_a_hugging_face_data_set_in_memory_and_saved(pictures: Path, tmp_path: Path) -> None:
    features = datasets.Features(
        question=datasets.Value("string"), answer=datasets.Value("string"), image=datasets.Image()
    )
    columns = {
        "question": [f"Which {i}?" for i in range(NUM)],
        "answer": ["red"] * NUM,
        "image": [{"bytes": (pictures / f"{i}.png").read_bytes()} for i in range(NUM)],
    }
    table = datasets.Dataset.from_dict(columns, features=features)
    held = OwnTable(path={"train": table.select(range(8)), "test": table.select([8, 9])}).load()
    assert [len(held.train_tasks), len(held.val_tasks), len(held.test_tasks)] == [7, 1, 2]
    original = pictures / "8.png"
    assert Path(held.test_tasks[0].images[0]).read_bytes() == original.read_bytes()
    datasets.DatasetDict(train=table.select(range(8)), test=table.select([8, 9])).save_to_disk(
        tmp_path / "saved"
    )
    saved = OwnTable(path=str(tmp_path / "saved")).load()
    assert [task.question for task in saved.test_tasks] == ["Which 8?", "Which 9?"]


def test_what_is_noted_stops_nothing(pictures: Path, tmp_path: Path) -> None:
    bad = rows(split=["train"] * 9 + ["test"], img=["1.png"] + ["0.png"] * 8 + ["gone.png"])
    path = lines(pictures, [*bad, {**bad[0], "split": "test"}, '{"broken'], "bad.jsonl")
    with noted() as faults:
        splits = OwnTable(path=path).load()
    assert len(splits.train_tasks) + len(splits.val_tasks) == 9
    assert len(splits.test_tasks) == 1
    assert [str(fault).partition(": ")[2][:17] for fault in faults] == [
        "picture 'gone.png", "is not JSON: Unte", "1 pictures are in",
    ]  # fmt: skip
    assert str(faults[0]).startswith(f"{path}:10: ")
