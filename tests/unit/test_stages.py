"""A run in stages as one thing: what is left to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.unit.test_settings import composed
from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.core.stages_file import read_stages
from vigorl.stages import Whole
from vigorl.train import stages_to_do

prepare_process()


def tour(folder: Path, *said: str) -> DictConfig:
    words = ["experiment=stages_tour", f"paths.root={folder}", f"paths.base={folder}/run"]
    return composed("train", *words, *said)


def left(cfg: DictConfig) -> list[str]:
    return [one.stage.name for one in stages_to_do(cfg)]


def test_a_stage_is_done_when_all_that_belongs_to_it_is(tmp_path: Path) -> None:
    cfg, base = tour(tmp_path, "logger=none"), tmp_path / "run"
    first, second, *_ = stages_to_do(cfg)
    with Whole(cfg) as whole:
        (base / "sft" / "model").mkdir(parents=True)
        assert left(cfg)[0] == "sft"  # its model is there, its run not ended
        whole.note_done(first)
        assert left(cfg) == ["collect", "dpo", "own", "rl"]
        (base / "collect" / "model").mkdir(parents=True)
    with Whole(cfg) as whole:  # resumed
        assert left(cfg)[0] == "collect"
        whole.note_done(second)
    noted = read_stages(base)
    assert noted is not None
    assert noted.done == ("sft", "collect")
    assert [one.start for one in noted.stages] == ["tiny_start", "sft", "sft", "dpo", "own"]
    assert noted.stages[3].data == "MadeWorld, right answers of collect"
    (base / "stages.json").unlink()  # as of a run from before there was that file
    assert left(cfg) == ["dpo", "own", "rl"]


def test_a_process_that_starts_later_does_as_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, str] = {}
    monkeypatch.setattr(
        "vigorl.train.from_first_process", lambda _, key, make: said.setdefault(key, make())
    )
    run = tmp_path / "run"
    (run / "sft").mkdir(parents=True)
    (run / "sft/run.json").touch()
    first = stages_to_do(tour(tmp_path, f"resume={run}"))
    (run / "collect").mkdir()
    (run / "collect/run.json").touch()  # the first process has begun it meanwhile
    second = stages_to_do(tour(tmp_path, f"resume={run}"))
    resumed = [str(run / "sft"), None, None, None, None]
    assert [one.resume for one in first] == [one.resume for one in second] == resumed


def test_what_is_refused_at_once_leaves_nothing(tmp_path: Path) -> None:
    cfg = tour(tmp_path, "logger=none")
    with pytest.raises(ConfigError, match="wrong"), Whole(cfg):
        raise ConfigError("wrong")
    assert not (tmp_path / "run").exists()
