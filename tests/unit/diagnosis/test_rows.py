"""Each row as it is when all is well, and as it fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders import task
from tests.unit.diagnosis.machines import failures, machine, settings
from vigorl.build import is_deepspeed
from vigorl.core.records import TaskRecord
from vigorl.data.sources.vstar_folder import CATEGORIES, write_vstar_folder
from vigorl.diagnosis.engine import check_engine, check_library, check_server
from vigorl.diagnosis.installed import check_lock, check_python, check_requirements
from vigorl.diagnosis.machine import check_devices, check_disk, check_shared_memory
from vigorl.diagnosis.report import Row, Status, render
from vigorl.diagnosis.sources import check_config, check_data, check_tracking

REQUIREMENTS = ["torch==2.13.0", "numpy", 'deepspeed==0.19.8; extra == "deepspeed"']
RIGHT = {"torch": "2.13.0+cpu", "numpy": "2.0", "deepspeed": "0.19.8"}


@contextmanager
def server(*paths: str) -> Iterator[str]:
    """Answers 200 to these paths, and 404 to others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in paths else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_pins_hold_for_local_builds_too() -> None:
    rows = check_requirements(REQUIREMENTS, extras=[], installed=RIGHT.get)
    assert [(row.status, row.name) for row in rows] == [
        (Status.OK, "torch"),
        (Status.OK, "deepspeed"),
    ]


@pytest.mark.parametrize(
    ("found", "extras", "failed"),
    [
        (RIGHT | {"torch": "2.12.0"}, [], ["torch"]),
        ({"torch": "2.13.0"}, [], ["numpy"]),
        ({"torch": "2.13.0", "numpy": "2.0"}, [], []),
        ({"torch": "2.13.0", "numpy": "2.0"}, ["deepspeed"], ["deepspeed"]),
        (RIGHT | {"deepspeed": "0.18.0"}, [], []),
        (RIGHT | {"deepspeed": "0.18.0"}, ["deepspeed"], ["deepspeed"]),
    ],
)
def test_wrong_and_missing_packages_fail_where_they_are_needed(
    found: dict[str, str], extras: list[str], failed: list[str]
) -> None:
    rows = check_requirements(REQUIREMENTS, extras=extras, installed=found.get)
    assert failures(rows) == failed
    assert all("pip install" in row.text for row in rows if row.status is Status.FAIL)


def test_zero_needs_deepspeed() -> None:
    assert is_deepspeed(settings("strategy=zero2").strategy)
    assert not is_deepspeed(settings("strategy=ddp").strategy)
    assert not is_deepspeed(settings().strategy)


def test_python_and_the_lock() -> None:
    assert check_python("3.11.7", ">=3.11,<3.12").status is Status.OK
    assert check_python("3.12.0", ">=3.11,<3.12").status is Status.FAIL
    lock = ["torch==2.13.0", "numpy==2.3.5", "never==1.0"]
    (row,) = check_lock(lock, installed=RIGHT.get)
    assert (row.status, row.text) == (
        Status.WARN,
        "1 of 2 installed packages as pinned; not: numpy 2.0 (==2.3.5)",
    )


def test_devices_are_counted() -> None:
    assert not failures(check_devices(settings("trainer.devices=2"), machine(gpus=2)))
    assert failures(check_devices(settings("trainer.devices=4"), machine(gpus=2))) == ["GPUs"]
    assert failures(check_devices(settings("trainer.accelerator=gpu"), machine())) == ["GPUs"]
    assert not failures(check_devices(settings("trainer.accelerator=cpu"), machine(gpus=2)))


def test_an_engine_in_another_process_needs_shared_memory() -> None:
    small = machine(shared_gib=0.0625)  # what docker gives
    cfg = settings()
    assert not failures(check_shared_memory(cfg, small))
    cfg.engine._target_ = "vigorl.rollout.engines.vllm.VLLMEngine"
    (row,) = check_shared_memory(cfg, small)
    assert row.status is Status.FAIL
    assert "--shm-size" in row.text
    assert not failures(check_shared_memory(cfg, machine()))


def test_a_disk_that_is_too_small_fails(tmp_path: Path) -> None:
    cfg = settings(f"paths.outputs={tmp_path}/not/yet")
    assert not failures(check_disk(cfg, needed=1))
    assert failures(check_disk(cfg, needed=2**60)) == ["disk"]
    assert not any(tmp_path.iterdir())


def test_values_that_are_missing_are_named() -> None:
    cfg = settings("data=vstar_folder")
    assert [row.text for row in check_config(cfg)] == ["set data.root=..."]
    (row,) = check_data(cfg)
    assert row.status is Status.FAIL
    assert "data.root" in row.text


def test_settings_that_a_run_would_refuse_fail() -> None:
    assert not failures(check_config(settings()))
    (row,) = check_config(settings("precision=bf16-true"))
    assert "trainer.precision" in row.text
    (row,) = check_config(settings("plan.micro_batch_size=48"))
    assert row.status is Status.FAIL
    assert "plan.sequences_per_update" in row.text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data=vstar_folder", "data.root={}/gone"], "data.root="),
        (["data=vstar_questions", "data.file={}/gone"], "data.file="),
        (["data=released_files"], "data.train_tasks"),
        (["data=released_files", "data.train_tasks={}/gone"], "data.train_tasks="),
        (["data=released_files", "data.traces={}"], "data.train_tasks: set it"),
        (
            ["data=released_files", "data.train_tasks={}", "data.image_root={}/gone"],
            "data.image_root=",
        ),
        (["data.photographs={}/gone"], "data.photographs="),
    ],
)
def test_data_that_is_not_there_fails(tmp_path: Path, overrides: list[str], said: str) -> None:
    (row,) = check_data(settings(*(one.format(tmp_path) for one in overrides)))
    assert row.status is Status.FAIL
    assert said in row.text


def test_data_that_is_there_or_can_be_made_is_well(tmp_path: Path) -> None:
    (row,) = check_data(settings(f"paths.root={tmp_path}"))
    assert (row.status, "will be drawn at the start" in row.text) == (Status.OK, True)
    assert "not asked here" in row.text
    assert not any(tmp_path.iterdir())
    write_vstar_folder([a_task(tmp_path, i) for i in range(8)], tmp_path)
    (row,) = check_data(settings("data=vstar_folder", f"data.root={tmp_path}"))
    assert row.status is Status.OK
    assert "4 train_tasks, 2 val_tasks, 2 test_tasks; every picture can be decoded" in row.text


def test_data_that_a_run_would_stop_on_fails(tmp_path: Path) -> None:
    """A header that is whole over a picture that is cut: only decoding finds it."""
    write_vstar_folder([a_task(tmp_path, i) for i in range(8)], tmp_path)
    cut = tmp_path / "relative_position" / "3.png"
    cut.write_bytes(cut.read_bytes()[:-200])
    (row,) = check_data(settings("data=vstar_folder", f"data.root={tmp_path}"))
    assert row.status is Status.FAIL
    assert "3.png: the picture is damaged" in row.text
    assert "relative_position/3.json" in row.text


def test_what_a_model_that_is_made_later_would_be_asked_is_tried(tmp_path: Path) -> None:
    tasks = [a_task(tmp_path, i) for i in range(8)]
    write_vstar_folder(tasks, tmp_path)
    said = [
        "experiment=grpo_vstar_no_warm_start", "data=vstar_folder", f"data.root={tmp_path}",
        f"paths.run={tmp_path}/run",
    ]  # fmt: skip
    (row,) = check_data(settings(*said))
    assert "every prompt encoded, as tiny_start would read it" in row.text
    assert not (tmp_path / "run").exists()
    Image.new("1", (211, 43_000)).save(tmp_path / "relative_position" / "3.png")
    (row,) = check_data(settings(*said))
    assert row.status is Status.FAIL
    assert "absolute aspect ratio must be" in row.text


def test_that_nothing_could_be_asked_is_said(tmp_path: Path) -> None:
    write_vstar_folder([a_task(tmp_path, i) for i in range(8)], tmp_path)
    model = "model.path=Someone/Somewhere"
    rows = check_data(settings("data=vstar_folder", f"data.root={tmp_path}", model))
    assert [(row.status, row.name) for row in rows] == [
        (Status.OK, "data"),
        (Status.NOTE, "prompts"),
    ]
    assert "NOT tried: Someone/Somewhere" in rows[1].text


def a_task(root: Path, number: int) -> TaskRecord:
    """On a picture of its own, in one of V*Bench's categories."""
    picture, category = root / f"{number}.png", CATEGORIES[number % 2]
    noise = np.random.default_rng(number).integers(0, 256, (448, 448, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    return task(id=f"{category}/{number}", category=category, images=(str(picture),))


def test_a_local_store_is_looked_at_and_never_made(tmp_path: Path) -> None:
    path = tmp_path / "outputs" / "mlflow.db"
    cfg = settings(f"logger.tracking_uri=sqlite:///{path}")
    (row,) = check_tracking(cfg)
    assert (row.status, row.text.endswith("will be made")) == (Status.OK, True)
    assert not any(tmp_path.iterdir())
    path.parent.mkdir()
    path.write_text("not a database, and long enough to be taken for one" * 20)
    assert failures(check_tracking(cfg)) == ["MLflow"]
    path.unlink()
    with sqlite3.connect(path) as store:
        store.execute("create table experiments (id)")
    (row,) = check_tracking(cfg)
    assert (row.status, row.text.endswith("0 experiments")) == (Status.OK, True)


def test_a_store_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cfg = settings(f"logger.tracking_uri=sqlite:///{tmp_path}/file/mlflow.db")
    assert failures(check_tracking(cfg)) == ["MLflow"]


def test_an_mlflow_server_must_answer() -> None:
    with server("/health") as url:
        assert not failures(check_tracking(settings(f"logger.tracking_uri={url}")))
    (row,) = check_tracking(settings(f"logger.tracking_uri={url}"))
    assert row.status is Status.FAIL
    assert url in row.text


def test_no_logger_is_no_failure() -> None:
    (row,) = check_tracking(settings("logger=none"))
    assert row.status is Status.NOTE


def test_an_engine_must_import() -> None:
    cfg = settings()
    assert not failures(check_engine(cfg))
    cfg.engine._target_ = "vigorl.rollout.engines.nothing.Engine"
    (row,) = check_engine(cfg)
    assert row.status is Status.FAIL
    assert "nothing" in row.text


def test_an_engine_that_overlaps_on_the_trainers_device_is_told() -> None:
    (_, row) = check_engine(settings("overlap=one_step"))
    assert row.status is Status.NOTE
    assert "gains little" in row.text


def test_a_library_is_imported_in_a_process_of_its_own() -> None:
    assert check_library("json").status is Status.OK
    row = check_library("no_such_library")
    assert row.status is Status.FAIL
    assert "No module named 'no_such_library'" in row.text
    assert "took more than" in check_library("json", timeout_s=1e-3).text


def test_an_engine_server_must_be_well_and_list_its_models() -> None:
    with server("/health", "/v1/models") as url:
        assert check_server(url).status is Status.OK
        assert check_server(f"{url}/v1/").status is Status.OK
    with server("/health") as url:
        row = check_server(url)
        assert (row.status, "/v1/models: HTTP 404" in row.text) == (Status.FAIL, True)
    assert "/health" in check_server(url).text  # it is gone


def test_every_server_of_the_settings_is_asked() -> None:
    with server("/health", "/v1/models") as url:
        cfg = settings(f"+engine.urls=[{url}, {url}/other]")
        assert [row.status for row in check_engine(cfg)] == [Status.OK, Status.OK, Status.FAIL]


def test_the_table_fits_in_a_hundred_columns() -> None:
    rows = [Row(Status.OK, "short", "text"), Row(Status.FAIL, "long", "word " * 60)]
    first, *rest = render(rows).splitlines()
    assert first == "ok    short                    text"
    assert rest[0].startswith("FAIL  long                     word word")
    assert rest[1].startswith(" " * 31 + "word")
    assert max(map(len, rest)) <= 100
