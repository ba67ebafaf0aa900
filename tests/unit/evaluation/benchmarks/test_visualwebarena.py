"""VisualWebArena as it is downloaded, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.evaluation.web.test_tasks import row
from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.visualwebarena import VisualWebArena
from vigorl.evaluation.web.judge import WebJudge

BEAR = {
    "eval_types": ["page_image_query"],
    "page_image_query": [
        {
            "eval_image_url": "last",
            "eval_image_class": "",
            "eval_vqa": [{"question": "A bear?", "answer": "yes"}],
        }
    ],
}


def benchmark(folder: Path, *rows: dict[str, Any], **fields: Any) -> VisualWebArena:
    path = folder / "config_files/vwa/test_classifieds.raw.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows or [row()]))
    (folder / "auth").mkdir(exist_ok=True)
    (folder / "auth/classifieds_state.json").write_text("{}")
    fields = {
        "name": "vwa", "root": str(folder), "download": "git clone",
        "sites": {"classifieds": "http://ads:9980/", "reddit": None}, "screens": "screens",
        "states": str(folder / "auth"),
    } | fields  # fmt: skip
    return VisualWebArena(**fields)


def test_tasks_that_only_a_judge_decides_need_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = row(), row(BEAR, task_id=4)
    assert [task.id for task in benchmark(tmp_path, *rows).tasks()] == ["classifieds/3"]
    assert "1 tasks left out: only data.judge can decide them" in caplog.text
    judge = WebJudge(urls=["http://judge"], model="vlm-1")
    judged = benchmark(tmp_path, *rows, judge=judge)
    assert [task.id for task in judged.tasks()] == ["classifieds/3", "classifieds/4"]
    assert judged.settings()["judge"] == "vlm-1"


def test_the_protocol_does_not_say_where_things_lie(tmp_path: Path):
    here = benchmark(tmp_path).settings()
    elsewhere = benchmark(
        tmp_path, sites={"classifieds": "http://other"}, screens="x", at_once=7
    ).settings()
    assert here == elsewhere
    assert here["steps"] == {"max_steps": 30, "max_unreadable": 3, "max_repeats": 5}
    assert here["browser"]["height"] == 2048
    json.dumps(here)


def test_what_a_model_was_trained_on_is_tagged(tmp_path: Path):
    learned = tmp_path / "planning_examples.json"
    picture = "./learned_examples/merged/images/classifieds_3/5.png"
    learned.write_text(json.dumps({"examples": [["", "", picture, [], 1.0]]}))
    bench = benchmark(tmp_path, row(), row(task_id=4), trained_on=str(learned))
    assert [task.tags["trained_on"] for task in bench.tasks()] == ["yes", "no"]
    with pytest.raises(ConfigError, match=r"data\.trained_on='absent': No such file"):
        benchmark(tmp_path, trained_on="absent").tasks()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sites": {"reddit": None}}, r"data\.sites has no address: start the sites"),
        ({"states": None}, r"1 tasks, such as classifieds/3, need someone who has logged in"),
        ({"states": "absent"}, r"data\.states='absent' has no classifieds_state\.json"),
        (
            {"files_pattern": "*.json"},
            r"holds no \*\.json, nor vwa/\*\.json; get vwa by\n    git clone",
        ),
        ({"sites": {"classifieds": "ads:9980"}}, r"data\.sites\.classifieds='ads:9980' must begin"),
        ({"at_once": 0}, r"data\.at_once must be at least 1, got 0"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        benchmark(tmp_path, **fields).tasks()
