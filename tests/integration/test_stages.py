"""Stages that are cut off where one hands on to the next, and gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import same_weights, settings, store, weights
from vigorl.core.metrics_file import read_metrics
from vigorl.core.stages_file import read_stages
from vigorl.train import train

pytestmark = pytest.mark.slow

TWO = [
    "experiment=stages_tour", "stages.sft=null", "stages.dpo=null", "stages.rl=null",
    "stages.collect.start=null", "stages.own.start=collect", "num_phases=1",
    "plan.prompts_per_phase=4", "plan.sequences_per_update=16", "+rollout.eval_limit=1",
    "data.comparison_frac=0",  # four options each: a guess is right in a quarter
    "engine._target_=tests.integration.door.guessing_engine", "rollout.alignment=null",
    "stages.own.traces.sequences_per_update=1", "+stages.own.traces.micro_batch_size=1",
]  # fmt: skip


TIMES = ("time/", "perf/")


class CutError(Exception):
    """In place of kill -9, which benchmarks/kills.py jobs=stages at=all sends."""


def cut(*_: object, **__: object) -> None:
    raise CutError


def measured(stage: Path) -> list[tuple[str, float, dict[str, float]]]:
    return [
        (
            one.kind,
            one.phases,
            {k: v for k, v in one.metrics.items() if not any(t in k for t in TIMES)},
        )
        for one in read_metrics(stage / "metrics.jsonl")
    ]


def test_cut_between_stages_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, other = tmp_path / "whole", tmp_path / "cut"
    train(settings(whole, *TWO, f"paths.base={whole}/run"))
    moments = {  # the model is there, its run is not ended; its run is, and nobody has noted it
        "vigorl.train.describe": ["paths.base"],
        "vigorl.stages.Whole.note_done": ["paths.base", "resume"],
    }
    for target, keys in moments.items():
        cfg = settings(other, *TWO, *(f"{key}={other}/run" for key in keys))
        with monkeypatch.context() as patch:
            patch.setattr(target, cut)
            with pytest.raises(CutError):
                train(cfg)
        assert (other / "run/collect/model").is_dir()
        assert not (other / "run/own").exists()
    train(settings(other, *TWO, f"paths.base={other}/run", f"resume={other}/run"))

    for stage in ("collect", "own"):
        one, two = whole / "run" / stage, other / "run" / stage
        assert same_weights(weights(one / "model"), weights(two / "model"))
        assert measured(one) == measured(two)
        assert (two / "model/README.md").is_file()
    assert not same_weights(*(weights(whole / "run" / one / "model") for one in ("collect", "own")))
    noted = read_stages(other / "run")
    assert noted is not None
    assert noted.done == ("collect", "own")
    client = store(other)
    (experiment,) = client.search_experiments(filter_string="name = 'vigorl'")
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.status for one in runs} == {"FINISHED"}
    (parent,) = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert parent.info.run_id == noted.mlflow_run_id
    assert parent.data.tags["stages"] == "collect, own"
    children = [one for one in runs if one is not parent]
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent.info.run_id}
    points = client.get_metric_history(parent.info.run_id, "1_overview/1_val_accuracy")
    assert sorted({one.step for one in points}) == [0, 1, 2]
    assert len(children) == 2
