from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers.logger import DummyLogger
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import _validate_metric_name
from PIL import Image

from tests.builders import answer_turn, rollout, scored, zoom_turn
from vigorl.callbacks.mlflow_logger import (
    FIRST,
    PatientMLFlowLogger,
    safe_name,
    send,
    shown_name,
)
from vigorl.mlflow_store import make_store
from vigorl.outbox.journal import OUTBOX
from vigorl.outbox.operations import DataUsed, LogArtifact, LogInputs, SetTags
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.rollout.recorder import RolloutRecorder

pytestmark = pytest.mark.usefixtures("copied_stores")
ODD = [
    "a/地图",
    "a/地圖",
    "a//b",
    "a/",
    "../a",
    "a?",
    "a!",
    ".",
    "",
    "x" * 300,
    "x" * 301,
    "a:b",
    "\ud800",
]


def test_every_name_is_taken_and_stays_another() -> None:
    names = [safe_name(name) for name in ODD]
    for name in names:
        _validate_metric_name(name)
        assert name.isascii()
    assert len(set(names)) == len(ODD)
    assert safe_name("reward/total") == "reward/total"


def test_the_deciding_numbers_stand_first_and_each_has_a_name_of_its_own() -> None:
    shown = sorted([*map(shown_name, FIRST), "align/max_gap", "2_x/y"])
    assert set(shown[: len(FIRST)]) == set(FIRST.values())
    assert len(set(FIRST.values())) == len(FIRST)


class Store:
    """MLflow's client as the logger uses it; away while `is_away`."""

    def __init__(self) -> None:
        self.is_away, self.told = False, []

    def _tell(self, *said: Any) -> None:
        if self.is_away:
            raise MlflowException("API request failed\nwith a long story")
        self.told.append(said)

    def log_batch(self, _run: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self._tell(*[(one.key, one.value) for one in (*metrics, *params, *tags)])

    def set_terminated(self, _run: str, status: str, _at_ms: int) -> None:
        self._tell(status)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr("vigorl.callbacks.mlflow_logger.MlflowClient", lambda _uri: made)
    return made


def logger(tmp_path: Path, **settings: Any) -> PatientMLFlowLogger:
    uri = f"sqlite:///{tmp_path}/never_made.db"
    quick = {"pause_s": 0.01, "wait_s": 0.1}
    return PatientMLFlowLogger(
        folder=str(tmp_path), tracking_uri=uri, run_id="run", **quick | settings
    )


def test_what_is_logged_while_the_store_is_away_is_sent_in_order(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    patient = logger(tmp_path, wait_s=60.0)
    store.is_away = True
    for step in (1, 2, 3):
        patient.log_metrics({"a": float(step)}, step)
    while "MLflow is away" not in caplog.text:
        time.sleep(0.01)
    store.is_away = False
    patient.finalize("success")
    assert store.told == [(("a", 1.0),), (("a", 2.0),), (("a", 3.0),), ("FINISHED",)]
    assert caplog.text.count("MLflow is away") == caplog.text.count("MLflow is back") == 1
    assert not list(tmp_path.glob("mlflow_*"))  # nothing waits any more


def test_what_is_never_taken_stays_in_the_runs_folder_and_a_resume_sends_it(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    first = logger(tmp_path)
    first.log_metrics({"a": 1.0}, 1)
    first.finalize("failed")
    assert f"mlflow_sync {tmp_path}" in caplog.text
    assert (tmp_path / OUTBOX).exists()
    store.is_away = False
    again = logger(tmp_path, wait_s=60.0)
    again.log_metrics({"a": 2.0}, 2)
    again.finalize("success")
    assert store.told == [(("a", 1.0),), ("FAILED",), (("a", 2.0),), ("FINISHED",)]


def test_what_the_store_refuses_is_named_and_holds_nothing_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException.invalid_parameter_value("no")

    monkeypatch.setattr(store, "log_batch", refuse)
    patient = logger(tmp_path)
    patient.log_hyperparams({"a": 1})
    patient.finalize("success")
    assert "MLflow was not told params: no" in caplog.text
    assert store.told == [("FINISHED",)]


def test_a_run_that_fails_before_it_has_logged_anything_says_so(tmp_path: Path) -> None:
    make_store(tmp_path / "m.db")
    settings = {
        "folder": str(tmp_path),
        "tracking_uri": f"sqlite:///{tmp_path}/m.db",
        "experiment_name": "x",
    }
    run_id = PatientMLFlowLogger(**settings).run_id
    PatientMLFlowLogger(**settings, run_id=run_id).finalize("failed")
    assert MlflowClient(settings["tracking_uri"]).get_run(str(run_id)).info.status == "FAILED"


def test_a_follower_that_sends_nothing_is_not_waited_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vigorl.callbacks.mlflow_logger._MOST_S_STILL", 0.1)
    patient = logger(tmp_path)
    asleep = patient._follower = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE)
    patient._traces.append(RecordedTraces("rollouts.jsonl", [0], 0))
    patient.finalize("success")
    assert asleep.returncode == -signal.SIGKILL
    assert "MLflow has not got 1 of the last things about this run" in caplog.text


def test_another_logger_is_told_nothing() -> None:
    send(DummyLogger(), SetTags({"a": "b"}))


@pytest.mark.slow
def test_a_real_server_that_is_killed_and_started_again_has_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run sees it: up for three phases, away for three, up again. Metrics, tags, pages and the
    data come from the run's thread, traces and their pictures from the process beside it.
    """
    monkeypatch.chdir(tmp_path)  # where the builders' rollouts have their picture
    Image.new("RGB", (448, 448), "red").save("disc.png")
    make_store(tmp_path / "m.db")
    port = 5000 + os.getpid() % 20000
    uri = f"http://127.0.0.1:{port}"

    def server() -> subprocess.Popen[bytes]:
        store, files = f"sqlite:///{tmp_path}/m.db", f"{tmp_path}/artifacts"
        started = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
             "--backend-store-uri", store, "--artifacts-destination", files],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        client = MlflowClient(uri)
        while True:
            try:
                client.search_experiments(max_results=1)
                return started
            except MlflowException:
                time.sleep(0.2)

    def kill(one: subprocess.Popen[bytes]) -> None:
        os.killpg(one.pid, signal.SIGKILL)
        one.wait()

    up = server()
    run = tmp_path / "run"
    run.mkdir()
    patient = PatientMLFlowLogger(
        folder=str(run), tracking_uri=uri, experiment_name="x", pause_s=0.2, wait_s=60.0
    )
    run_id = str(patient.run_id)
    for phase in range(8):
        if phase == 3:
            kill(up)
        if phase == 4:
            send(patient, LogInputs([DataUsed("world/train", "12ab", "training")]))
        if phase == 6:
            up = server()
        patient.log_metrics({"a": phase / 8}, phase)
        send(patient, SetTags({f"phase{phase}": "done"}))
        page, record = run / f"page{phase}.html", run / f"{phase}.jsonl"
        page.write_text("page")
        send(patient, LogArtifact(str(page), "rollouts"))
        with RolloutRecorder(record, run_seed=0) as recorder:
            recorder.write(scored(rollout(zoom_turn(), answer_turn())), phase=f"train/{phase}")
        send(patient, RecordedTraces(str(record), [0], at_ms=1_000 + phase))
    patient.finalize("success")
    assert not list(run.glob("mlflow_*"))  # nothing waits any more
    client = MlflowClient(uri)
    points = client.get_metric_history(run_id, "a")
    assert [(one.step, one.value) for one in points] == [(i, i / 8) for i in range(8)]
    found = client.get_run(run_id)
    assert {f"phase{i}" for i in range(8)} <= found.data.tags.keys()
    assert found.info.status == "FINISHED"
    assert found.inputs is not None
    assert [one.dataset.digest for one in found.inputs.dataset_inputs] == ["12ab"]
    pages = client.list_artifacts(run_id, "rollouts")
    assert [one.path for one in pages] == [f"rollouts/page{i}.html" for i in range(8)]
    traces = client.search_traces(locations=[found.info.experiment_id], run_id=run_id)
    assert sorted(one.info.tags["phase"] for one in traces) == [f"train/{i}" for i in range(8)]
    for one in traces:
        assert len(one.data.spans) == 5
        kept = (tmp_path / "artifacts").rglob(f"{one.info.trace_id}/artifacts/attachments/*")
        assert sum(is_picture(file) for file in kept) == 2  # the whole, and the crop
    kill(up)


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.size > (0, 0)
