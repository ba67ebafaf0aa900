"""A benchmark that is a table and a map of its columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.evaluation.benchmarks.table import TableBenchmark

CSV = {"files": "*.csv", "question": "q", "answer": "a", "pictures": "image"}
FORMS = {"csv": CSV, "jsonl": CSV | {"files": "q.jsonl"}}


def bench(root: Path | str, **fields: Any) -> TableBenchmark:
    given: dict[str, Any] = {"forms": FORMS, "download": "hf download me/it", **fields}
    return TableBenchmark(name="it", root=str(root), **given)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(f"q,a,image\nWho {number}?,me,a.png\n")
    return tmp_path


def test_the_first_form_is_read_unless_another_is_named(root: Path):
    assert [task.id for task in bench(root).tasks()] == ["1:2", "2:2"]
    with pytest.raises(ConfigError, match=r"holds no q\.jsonl, but the form 'csv': data\.form=csv"):
        bench(root, form="jsonl").tasks()
    (root / "q.jsonl").write_text(json.dumps({"q": "Who?", "a": "you", "image": "a.png"}))
    (task,) = bench(root, form="jsonl").tasks()
    assert task.is_right("You")


def test_pictures_may_lie_elsewhere_which_is_no_part_of_the_protocol(root: Path, tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (root / "a.png").rename(pictures / "a.png")
    here, there = bench(root), bench(root, image_root=str(pictures))
    with pytest.raises(DataError, match=r"2 of 2 rows .*picture 'a\.png' is not in"):
        here.tasks()
    assert there.tasks()[0].images == (str(pictures / "a.png"),)
    assert here.settings() == there.settings()
    assert list(here.settings()["forms"]) == ["csv"]
    assert here.settings() != bench(root, form="jsonl").settings()


def test_a_missing_download_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"holds no \*\.csv, nor it/\*\.csv; get it by\n    hf download me/it"
    ):
        bench(tmp_path).tasks()


def test_a_data_set_of_the_hub_needs_no_folder():
    hub = {"hub_id": "me/it", "split": "val", "question": "q", "answer": "a"}
    bench("/absent", forms={"hub": hub}).prepare()
    with pytest.raises(ConfigError, match="absent"):
        bench("/absent").prepare()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"forms": {}}, r"data\.forms of it must name a form"),
        ({"forms": {"csv": "q.csv"}}, r"data\.forms\.csv must be keys of a table"),
        ({"form": "tsv"}, r"data\.form='tsv' is none of csv, jsonl"),
        ({"forms": {"x": CSV | {"image": "a"}}}, r"data\.forms\.x: image of a table: no such key"),
        ({"forms": {"x": CSV | {"files": []}}}, "needs either files or hub_id"),
        ({"forms": {"x": CSV | {"hub_id": "a/b"}}}, "needs either files or hub_id"),
        ({"forms": {"x": CSV | {"files": 3}}}, "files=3 of a table must be a text or"),
        ({"forms": {"x": CSV | {"split": "val"}}}, "split and config of a table need hub_id"),
        ({"forms": {"x": CSV | {"where": {"a": 3}}}}, "where=.*must give columns their values"),
    ],
)
def test_settings_that_mean_nothing_are_refused(root: Path, fields: dict[str, Any], fault: str):
    with pytest.raises(ConfigError, match=fault):
        bench(root, **fields)
