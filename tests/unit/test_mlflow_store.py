from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig, OmegaConf

from vigorl import mlflow_store
from vigorl.core.errors import ConfigError
from vigorl.mlflow_store import begun_run, make_store, without_passwords


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_store(path)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "mlflow.db"))


def settings(path: Path) -> DictConfig:
    target = "vigorl.callbacks.mlflow_logger.PatientMLFlowLogger"
    uri = f"sqlite:///{path}"
    named = {"experiment_name": "vigorl", "tracking_uri": uri, "folder": str(path.parent)}
    return OmegaConf.create({"logger": {"_target_": target, **named}})


def test_a_store_is_made_once_however_many_start(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(Path(shutil.copy(whole, path)))

    monkeypatch.setattr(mlflow_store, "_make", make)
    threads = [threading.Thread(target=make_store, args=(tmp_path / "m.db",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "m.db"]


def test_a_write_that_was_killed_is_rolled_back(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("pragma cache_size = 1")  # so that it writes before it commits
        store.execute("begin immediate")
        store.execute("create table half (text)")
        store.executemany("insert into half values (?)", [("x" * 4000,)] * 50)
        killed = Path(shutil.copy(path, tmp_path / "killed.db"))
        shutil.copy(f"{path}-journal", f"{killed}-journal")
    make_store(killed)
    with closing(sqlite3.connect(killed)) as store, pytest.raises(sqlite3.OperationalError):
        store.execute("select * from half")


def test_what_a_start_that_was_killed_has_left_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Half:
        """A store of which the making is interrupted."""

        def __init__(self, uri: str, _: str) -> None:
            Path(uri.removeprefix("sqlite:///")).write_text("half")
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_store, "SqlAlchemyStore", Half)
        with pytest.raises(KeyboardInterrupt):
            make_store(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    make_store(tmp_path / "mlflow.db")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_a_store_without_one_of_its_tables_is_one_line(path: Path) -> None:
    with closing(sqlite3.connect(path)) as store:
        store.execute("drop table latest_metrics")
    with pytest.raises(ConfigError, match="no such table: latest_metrics"):
        make_store(path)


@pytest.mark.parametrize("content", [b"", b"not a database", None])
def test_what_is_no_store_is_one_line(content: bytes | None, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ConfigError, match=r"mlflow\.db is no store .* move it away") as caught:
        make_store(path)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_hold_a_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (
        tmp_path / "file/mlflow.db",
        tmp_path / "50%/mlflow.db",
        tmp_path / "a?/m.db",
        tmp_path / "a'/m.db",
    ):
        with pytest.raises(ConfigError, match=r"set paths\.root"):
            make_store(place)


def test_a_run_that_is_gone_is_gone_on_with_as_another(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg, client = settings(path), MlflowClient(f"sqlite:///{path}")
    first = begun_run(cfg)
    assert first is not None
    assert begun_run(cfg, first) == first
    client.delete_run(first)
    second = begun_run(cfg, first)
    assert second not in (None, first)
    assert f"MLflow has no run {first} any more" in caplog.text
    for unknown in ("0" * 32, "../odd"):  # of another store, or of none
        assert begun_run(cfg, unknown) not in (first, second)


def test_a_deleted_experiment_is_one_line(path: Path) -> None:
    cfg, client = settings(path), MlflowClient(f"sqlite:///{path}")
    run = client.get_run(str(begun_run(cfg)))
    client.delete_experiment(run.info.experiment_id)
    with pytest.raises(ConfigError, match="has deleted the experiment vigorl: restore it"):
        begun_run(cfg, run.info.run_id)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("https://me:s3cret@host/x", "https://me:***@host/x"),
        ("postgresql://me:a@b@host/x", "postgresql://me:***@host/x"),
        ("http://host:5000/x@y", "http://host:5000/x@y"),
        (7, 7),
    ],
)
def test_passwords_are_masked(said: Any, kept: Any) -> None:
    assert without_passwords(said) == kept
