from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from tests import builders
from vigorl.callbacks.rollout import PhaseReport
from vigorl.callbacks.rollout_logger import RolloutLogger
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

    def log_artifact(self, run_id: str, path: str, folder: str) -> None:
        self.logged.append(f"{folder}/{Path(path).name}")


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


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutLogger:
    monkeypatch.setattr(RolloutLogger, "_page", lambda *_: "page")
    return RolloutLogger(folder=str(tmp_path), images=cast(Any, None), every=2)


def names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*.{suffix}"))


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
        f"rollouts/{name}.{kind}" for name in pages for kind in ("html", "jsonl")
    ]
    found = list(read_rollouts(tmp_path / "train_phase_0003.jsonl"))
    assert [one.scored.rollout.group for one in found] == ["g0", "g1", "g2", "g3"]
    assert {(one.phase, one.run_seed) for one in found} == {("train/3", 3)}


def test_a_repeated_phase_is_recorded_once(logger: RolloutLogger, tmp_path: Path) -> None:
    path = tmp_path / "train_phase_0003.jsonl"
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
    ]
