from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from tests import builders
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout_logger import RolloutLogger
from vigorl.core.metrics_file import curve_of, read_metrics
from vigorl.pages.phases import read_summaries
from vigorl.pages.run_pages import PhasePage, WrittenPage
from vigorl.rollout.recorder import read_rollouts


class Store(MLFlowLogger):
    """Remembers what was logged as an artifact."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    @property
    def experiment(self) -> Any:
        return self

    @property
    def run_id(self) -> str:
        return "run"

    def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
        self.logged.append(f"{folder}/{Path(path).name}" if folder else Path(path).name)


def trainer(store: Store, *, rank: int = 0, num_ranks: int = 1) -> Any:
    return SimpleNamespace(
        world_size=num_ranks,
        global_rank=rank,
        is_global_zero=rank == 0,
        global_step=0,
        loggers=[store],
        strategy=SimpleNamespace(barrier=lambda: None),
    )


def report(kind: str, phase: int, *, num: int = 4) -> PhaseReport:
    scored = [builders.scored(builders.rollout(group=f"g{i}")) for i in range(num)]
    return PhaseReport(kind, phase, run_seed=3, scored=scored, metrics={})


def write_page(folder: Path, page: PhasePage, **_: Any) -> WrittenPage:
    (folder / f"{page.name}.html").write_text("page")
    return WrittenPage(f"{page.name}.html", (), ())


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutLogger:
    monkeypatch.setattr("vigorl.callbacks.rollout_logger.write_phase_page", write_page)
    monkeypatch.setattr(RolloutLogger, "_show_one", lambda *_: None)
    (tmp_path / "rollouts").mkdir()
    return RolloutLogger(folder=str(tmp_path / "rollouts"), images=cast(Any, None), every=2)


def names(run: Path, suffix: str) -> list[str]:
    found = (run / "rollouts").glob(f"*_phase_*.{suffix}")
    return sorted(path.stem for path in found)


def test_every_phase_is_recorded_and_every_other_one_has_a_page(
    logger: RolloutLogger, tmp_path: Path
) -> None:
    store = Store()
    for phase in range(4):
        logger._log(report("train", phase), trainer(store))
    logger._log(report("val", 1), trainer(store))
    phases = [f"train_phase_000{i}" for i in range(4)]
    assert names(tmp_path, "jsonl") == [*phases, "val_phase_0001"]
    assert names(tmp_path, "html") == [phases[0], phases[2], "val_phase_0001"]
    pages = (phases[0], phases[2], "val_phase_0001")
    assert store.logged == [
        path
        for name in pages
        for path in (f"rollouts/{name}.html", f"rollouts/{name}.jsonl", "index.html")
    ]
    found = list(read_rollouts(tmp_path / "rollouts" / "train_phase_0003.jsonl"))
    assert [one.scored.rollout.group for one in found] == ["g0", "g1", "g2", "g3"]
    assert {(one.phase, one.run_seed) for one in found} == {("train/3", 3)}


def test_a_repeated_phase_is_recorded_once(logger: RolloutLogger, tmp_path: Path) -> None:
    path = tmp_path / "rollouts" / "train_phase_0003.jsonl"
    logger._log(report("train", 3), trainer(Store()))
    path.write_text(path.read_text() + '{"format": 1, "pha')  # killed while it wrote
    logger._log(report("train", 3), trainer(Store()))
    assert len(list(read_rollouts(path))) == 4


def test_ranks_write_a_file_each_and_the_first_logs_them_all(
    logger: RolloutLogger, tmp_path: Path
) -> None:
    store = Store()
    for rank in (1, 0):
        logger._log(report("train", 0), trainer(store, rank=rank, num_ranks=2))
    both = ["train_phase_0000_rank0", "train_phase_0000_rank1"]
    assert names(tmp_path, "jsonl") == both
    assert store.logged == [
        "rollouts/train_phase_0000.html",
        *(f"rollouts/{name}.jsonl" for name in both),
        "index.html",
    ]


def test_metrics_and_counts_of_each_phase_are_kept_and_indexed(
    logger: RolloutLogger, tmp_path: Path
) -> None:
    for phase, reward in ((0, 0.25), (1, 0.5), (1, 0.75)):  # a resumed run repeats a phase
        brought = replace(report("train", phase), metrics={"reward/total": reward})
        logger._log(brought, trainer(Store()))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert curve_of(lines, "reward/total") == ((0.0, 0.25), (1.0, 0.75))
    counts = read_summaries(tmp_path / "rollouts" / "phases.jsonl")
    assert [(one.phase, one.tally.num_rollouts, one.page) for one in counts] == [
        (0, 4, "train_phase_0000.html"),
        (1, 4, ""),
    ]
    assert 'href="rollouts/train_phase_0000.html"' in (tmp_path / "index.html").read_text()


def test_updates_are_kept_as_means_and_without_what_a_phase_has_reported(
    logger: RolloutLogger, tmp_path: Path
) -> None:
    """With a line a batch: at its start callbacks see what the one before has measured."""
    logger._log(replace(report("train", 0), metrics={"reward/total": 0.5}), trainer(Store()))
    module = cast(Any, None)
    now = trainer(Store())
    now.current_epoch, now.num_training_batches = 0, 2
    logger.on_train_start(now, module)
    for step, loss in ((0, None), (1, 4.0)):
        now.global_step = step
        now.callback_metrics = {"train/loss": loss, "reward/total": 0.5, "val/accuracy": 0.1}
        logger.on_train_batch_start(now, module, None, step)
    now.global_step, now.callback_metrics = 2, {"train/loss": 2.0}
    logger.on_train_epoch_end(now, module)
    lines = [one for one in read_metrics(tmp_path / "metrics.jsonl") if one.kind == "update"]
    assert [(one.phases, one.step, dict(one.metrics)) for one in lines] == [
        (0.5, 1, {"train/loss": 4.0}),
        (1.0, 2, {"train/loss": 2.0}),
    ]


def test_an_index_that_cannot_be_made_ends_no_run(
    logger: RolloutLogger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    logger._log(report("train", 0), trainer(Store()))
    assert f"{tmp_path}/metrics.jsonl:1: not a line of metrics" in caplog.text
