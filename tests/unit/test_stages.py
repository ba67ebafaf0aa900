"""A run in stages as one thing: what is left to do, and the run of the whole in MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

from tests.unit.test_settings import composed
from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.core.metrics_file import MetricsLine, append_metrics
from vigorl.core.stages_file import read_stages
from vigorl.stages import Whole
from vigorl.tracking import start_run
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


def test_stages_are_children_of_one_run(tmp_path: Path) -> None:
    cfg = tour(tmp_path, "logger.system_every_s=null")
    first, second, *_ = stages_to_do(cfg)
    for stage in (first, second):  # the second time gone on with
        with Whole(cfg) as whole:
            with start_run(stage) as run:
                whole.adopt(run)
            values = {"val/accuracy": 0.25 * stage.stage.number}
            append_metrics(run.folder / "metrics.jsonl", MetricsLine("val", 0, 0, values))
            whole.note_done(stage)
    client = MlflowClient(str(cfg.logger.tracking_uri))
    (experiment,) = client.search_experiments(filter_string="name = 'vigorl'")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert len(runs) == 3
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["stages"] == "sft, collect, dpo, own, rl"
    children = [one for one in runs if one is not parent]
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent.info.run_id}
    points = client.get_metric_history(parent.info.run_id, "1_overview/1_val_accuracy")
    assert [(one.step, one.value) for one in points] == [(1, 0.25), (0, 0.25), (2, 0.5)]


def test_what_is_refused_at_once_leaves_nothing(tmp_path: Path) -> None:
    cfg = tour(tmp_path, "logger=none")
    with pytest.raises(ConfigError, match="wrong"), Whole(cfg):
        raise ConfigError("wrong")
    assert not (tmp_path / "run").exists()
