from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import _validate_metric_name

from vigorl.callbacks.mlflow_logger import PatientMLFlowLogger, safe_name, send
from vigorl.core.errors import VigorlError
from vigorl.mlflow_store import make_store

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


class Server:
    """What MLflow's client would be told; away while `is_away`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away, self.told = False, []
        for name in ("log_metrics", "log_hyperparams", "finalize"):
            monkeypatch.setattr(MLFlowLogger, name, self._method(name))

    def _method(self, name: str) -> Any:
        def tell(_: object, *said: Any) -> None:
            if self.is_away:
                raise MlflowException("API request failed\nwith a long story")
            self.told.append((name, *said))

        return tell


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def logger(tmp_path: Path, **settings: Any) -> PatientMLFlowLogger:
    uri = f"sqlite:///{tmp_path}/never_made.db"
    made = PatientMLFlowLogger(tracking_uri=uri, **{"pause_s": 0.0} | settings)
    made._initialized = True
    return made


def test_what_is_logged_while_the_server_is_away_is_sent_later(
    server: Server, tmp_path: Path
) -> None:
    patient = logger(tmp_path)
    patient.log_metrics({"a": 1.0}, 1)
    server.is_away = True
    for step in (2, 3):
        patient.log_metrics({"a": 1.0}, step)
    server.is_away = False
    patient.finalize("success")
    steps = [("log_metrics", {"a": 1.0}, step) for step in (1, 2, 3)]
    assert server.told == [*steps, ("finalize", "success")]


def test_after_a_stated_time_the_run_ends(server: Server, tmp_path: Path) -> None:
    patient = logger(tmp_path, give_up_s=0.0)
    server.is_away = True
    patient.log_metrics({"a": 1.0}, 1)
    with pytest.raises(VigorlError, match=r"logger\.give_up_s=0; 2 things .* API request failed$"):
        patient.log_metrics({"a": 1.0}, 2)


def test_a_run_that_fails_is_not_kept_up_nor_its_reason_hidden(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.is_away = True
    logger(tmp_path).finalize("failed")
    assert "MLflow was not told that the run is failed: API request failed" in caplog.text


def test_a_run_that_fails_before_it_has_logged_anything_says_so(tmp_path: Path) -> None:
    make_store(tmp_path / "m.db")
    settings = {"tracking_uri": f"sqlite:///{tmp_path}/m.db", "experiment_name": "x"}
    run_id = PatientMLFlowLogger(**settings).run_id
    PatientMLFlowLogger(**settings, run_id=run_id).finalize("failed")
    assert MlflowClient(settings["tracking_uri"]).get_run(str(run_id)).info.status == "FAILED"


def test_a_file_in_the_way_is_raised_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        logger(tmp_path).do(lambda: (tmp_path / "file/x").write_text(""))


def test_a_refusal_is_raised(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException.invalid_parameter_value("no")

    patient = logger(tmp_path)
    with pytest.raises(MlflowException, match="no"):
        patient.do(refuse)
    patient.do(lambda: None)  # and does not come again


def test_another_logger_is_told_nothing() -> None:
    from lightning.pytorch.loggers.logger import DummyLogger

    send(DummyLogger(), lambda *_: pytest.fail("told"))
