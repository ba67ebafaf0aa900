"""Processes that somebody else started, and stages: one run folder, one MLflow run, one model made
first.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.door import (
    NO_LOOKS,
    UNTRAINED,
    VARIED_REWARD,
    only_run,
    run_door,
    settings,
    store,
)
from vigorl.core.errors import ConfigError
from vigorl.train import train

pytestmark = pytest.mark.slow

TWO = ["strategy=ddp", "trainer.devices=2", "plan.micro_batch_size=2"]
# no two processes read the same microsecond from their clocks
BY_THE_CLOCK = "paths.base=${paths.outputs}/runs/${now:%H-%M-%S-%f}"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def test_torchrun_makes_one_run(tmp_path: Path) -> None:
    result = run_door(
        *TWO,
        *UNTRAINED,
        VARIED_REWARD,
        BY_THE_CLOCK,
        *NO_LOOKS,
        "num_phases=1",
        f"paths.root={tmp_path}",
        launcher=TORCHRUN,
    )
    assert result.returncode == 0, result.stderr[-6000:]
    (run,) = (tmp_path / "outputs/runs").iterdir()
    assert (
        json.loads((run / "run.json").read_text())["mlflow_run_id"]
        == only_run(tmp_path).info.run_id
    )
    for rank in (0, 1):
        assert (run / f"rollouts/train_phase_0000_rank{rank}.jsonl").is_file()
    assert (run / "model/model.safetensors").is_file()
    assert len((run / "made").read_text().splitlines()) == 1


def test_torchrun_with_another_number_of_processes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_second = {"RUN_ID": "a", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    for name, value in of_the_second.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}" if name == "RUN_ID" else name, value)
    with pytest.raises(ConfigError, match=r"torchrun started 2 processes, but trainer\.devices=1"):
        train(settings(tmp_path))
    assert not (tmp_path / "outputs").exists()


STAGES = [
    "experiment=sft_vstar",
    "data.num_traces=16",
    "traces.sequences_per_update=8",
    "traces.micro_batch_size=4",
    "limits.max_new_tokens=12",
    "+rollout.eval_limit=2",
    "stages.see.datamodule.views_per_step=4",
    "stages.see.max_epochs=1",
    "stages.speak.max_epochs=1",
    "stages.see.model.maker._target_=tests.integration.door.make_for_world_and_note",
]


@pytest.mark.long
def test_stages_of_two_processes_share_their_folder(tmp_path: Path) -> None:
    result = run_door(*TWO[:2], *STAGES, BY_THE_CLOCK, f"paths.root={tmp_path}")
    assert result.returncode == 0, result.stderr[-6000:]
    (base,) = (tmp_path / "outputs/runs").iterdir()
    stages = {"see", "point", "speak", "practise"}
    assert {path.name for path in base.iterdir()} == {*stages, "index.html", "stages.json"}
    assert len((base / "see/made").read_text().splitlines()) == 1
    for stage in stages:
        assert (base / stage / "model/model.safetensors").is_file()
    assert (base / "speak/rollouts/val_phase_0000_rank1.jsonl").is_file()
    (experiment,) = store(tmp_path).search_experiments(filter_string="name = 'vigorl'")
    assert len(store(tmp_path).search_runs([experiment.experiment_id])) == len(stages) + 1
