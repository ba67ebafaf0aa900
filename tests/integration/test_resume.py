"""A run that is killed and resumed is, to the last bit, the run that was not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.door import (
    VARIED_REWARD,
    only_run,
    run_door,
    same_weights,
    settings,
    store,
    weights,
)
from vigorl.train import train

pytestmark = pytest.mark.slow

FOUR_PHASES = ["num_phases=4", "max_epochs=4", "callbacks.checkpoint.every=2"]


def all_metrics(root: Path) -> dict[str, dict[int, set[float]]]:
    """Every value that was ever logged, by name and updates done; how long things took left out."""
    client, run = store(root), only_run(root)
    found: dict[str, dict[int, set[float]]] = {}
    for name in run.data.metrics:
        if "time/" not in name and "perf/" not in name:
            for metric in client.get_metric_history(run.info.run_id, name):
                found.setdefault(name, {}).setdefault(metric.step, set()).add(metric.value)
    return found


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(settings(whole, *FOUR_PHASES, VARIED_REWARD, f"paths.run={whole}/run"))

    folders = [f"paths.root={killed}", f"paths.run={killed}/run"]
    killing = VARIED_REWARD.replace("TokenReward", "KillingReward")
    dead = run_door(*FOUR_PHASES, killing, *folders)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-3000:]
    # the third phase was finished, but its checkpoint was not due: it is run again
    assert [p.name for p in (killed / "run/checkpoints").iterdir()] == ["phase-00002.ckpt"]
    assert (killed / "run/rollouts/train_phase_0002.jsonl").is_file()
    assert not (killed / "run/model").exists()

    # nothing else need be said again; the reward is, to take back what killed it
    resumed = run_door(f"resume={killed}/run", VARIED_REWARD, small=[])
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    # phases that ran twice logged the same twice, so each set has one value
    assert all_metrics(killed) == all_metrics(whole)
    assert len(all_metrics(whole)["train/loss"]) == 4
    assert same_weights(weights(killed / "run/model"), weights(whole / "run/model"))
    assert only_run(killed).info.status == "FINISHED"


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    train(settings(tmp_path, VARIED_REWARD, f"paths.run={tmp_path}/run"))
    before, logged = weights(tmp_path / "run/model"), all_metrics(tmp_path)
    train(settings(tmp_path, VARIED_REWARD, f"resume={tmp_path}/run"))
    assert same_weights(weights(tmp_path / "run/model"), before)
    assert all_metrics(tmp_path) == logged
