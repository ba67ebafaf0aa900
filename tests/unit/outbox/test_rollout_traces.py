from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Trace
from mlflow.tracking import MlflowClient
from PIL import Image

from tests.builders import answer_turn, refused_turn, rollout, scored, task, zoom_turn
from vigorl.core.media import FileImage
from vigorl.mlflow_store import make_store
from vigorl.outbox.rollout_traces import Jpegs, RecordedTraces, Traced, traced
from vigorl.rollout.recorder import RecordedRollout, RolloutRecorder

pytestmark = pytest.mark.usefixtures("copied_stores")


def made(*turns: Any, max_bytes: int = 1 << 20, **fields: Any) -> Traced:
    return traced(
        RecordedRollout("train/3", 0, scored(rollout(*turns, **fields))),
        run_id="run",
        experiment_id="1",
        at_ms=1_000,
        jpegs=Jpegs(64),
        max_bytes=max_bytes,
    )


def said(one: dict[str, Any], what: str) -> Any:
    return json.loads(one["attributes"][f"mlflow.span{what}"])


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The picture that the builders' rollouts look at, in the folder where it is looked for."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (448, 448), "red").save("disc.png")
    return tmp_path / "disc.png"


@pytest.mark.usefixtures("picture")
def test_a_rollout_is_a_tree_of_turns_calls_and_reward() -> None:
    found = made(zoom_turn(), answer_turn(), probes={"crop_black": 0.5})
    by_id = {one["span_id"]: one for one in found.spans}
    tree = [
        (one["name"], by_id[one["parent_span_id"]]["name"] if one["parent_span_id"] else None)
        for one in found.spans
    ]
    assert tree == [
        ("rollout", None),
        ("turn 1", "rollout"),
        ("search_coordinate", "turn 1"),
        ("turn 2", "rollout"),
        ("probe: crop_black", "rollout"),
        ("reward", "rollout"),
    ]
    for one in found.spans[1:]:
        parent = by_id[one["parent_span_id"]]
        assert parent["start_time_unix_nano"] <= one["start_time_unix_nano"]
        assert one["end_time_unix_nano"] <= parent["end_time_unix_nano"]
    assert len(found.pictures) == 2  # the whole and the crop, each once
    assert said(found.spans[4], "Outputs") == {"crop_black": 0.5}
    assert found.info.tags["right"] == "right"
    assert found.info.tags["stop_reason"] == "answered"
    assert {one.name for one in found.info.assessments} == {
        "right", "score", "reward", "advantage", "answer",
    }  # fmt: skip


@pytest.mark.usefixtures("picture")
def test_half_a_character_in_the_name_of_a_tool_is_no_name_for_a_span() -> None:
    turn = refused_turn()
    turn = replace(turn, text=turn.text.replace("search_coordinate", "\\ud83dx"))
    assert [one["name"] for one in made(turn, answer_turn()).spans][2] == "?x"


@pytest.mark.usefixtures("picture")
def test_a_refused_call_is_an_error_and_a_wrong_answer_is_not() -> None:
    found = made(refused_turn(), answer_turn("blue"))
    codes = {one["name"]: one["status"]["code"] for one in found.spans}
    assert codes["search_coordinate"] == "ERROR"
    assert codes["rollout"] == "OK"
    assert found.info.tags["right"] == "wrong"


@pytest.mark.usefixtures("picture")
def test_a_trace_has_no_more_bytes_of_pictures_than_it_may() -> None:
    whole = made(zoom_turn(), answer_turn())
    (first, _) = whole.pictures.values()
    found = made(zoom_turn(), answer_turn(), max_bytes=len(first))
    assert [*found.pictures.values()] == [first]
    assert "max_kib" in said(found.spans[2], "Outputs")["messages"][0]["content"][0]["text"]


def test_a_picture_that_is_gone_costs_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = made(answer_turn())
    assert not found.pictures
    asked = said(found.spans[0], "Inputs")["messages"][0]["content"]
    assert "no such picture file" in asked[0]["text"]


def test_a_store_gets_traces_once_however_often_they_are_sent(
    picture: Path, tmp_path: Path
) -> None:
    make_store(tmp_path / "m.db")
    uri = f"sqlite:///{tmp_path}/m.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("x", (tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    record = tmp_path / "record.jsonl"
    shown = [
        rollout(zoom_turn(), answer_turn(said), group=f"g{i}", task=task(images=(str(picture),)))
        for i, said in enumerate(("red", "red", "half \ud83d"))
    ]
    assert shown[0].prompt_views[0].source == FileImage("disc.png")
    with RolloutRecorder(record, run_seed=0) as recorder:
        for one in shown:
            recorder.write(scored(one), phase="val/0")
    mlflow.set_tracking_uri(uri)
    told = RecordedTraces(str(record), [0, 2], at_ms=1_000)
    for _ in range(2):
        told.tell(client, run_id)
    found = client.search_traces(locations=[experiment], run_id=run_id)
    shown_answers = {one.info.tags["group"]: one.info.response_preview for one in found}
    assert shown_answers == {"g0": "red", "g2": "half ?"}
    for one in found:
        assert isinstance(one, Trace)
        assert len(one.data.spans) == 5
        assert len(one.info.assessments) == 5
    assert len(list((tmp_path / "artifacts").rglob("attachments/*"))) == 2 * 2
