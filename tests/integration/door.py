"""The real doors, small: two phases of two prompts x four rollouts on a dozen made pictures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from mlflow.entities import Run as MLflowRun
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig
from safetensors.torch import load_file

from vigorl.build import CONFIGS
from vigorl.core.rollout import RewardBreakdown, Rollout

# no test may rest on what the start checkpoint can do: its sizes, other weights, and short turns
SMALL = [
    "debug=fast",
    "num_threads=1",
    "trainer.accelerator=cpu",
    "limits.max_new_tokens=12",
    "model.path=${paths.run}/untrained",
    "model.maker={_target_:vigorl.models.tiny.untrained_copy,"
    "source:${paths.start},folder:${model.path},seed:3}",
]
STARTING = ["model.maker=null", "model.path=${paths.start}"]  # with the shipped one all the same
VARIED_REWARD = "reward._target_=tests.integration.door.TokenReward"


class TokenReward:
    """A reward that even a model without any skill gets unequally: from the ids it sampled."""

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        ids = [i for turn in rollout.turns for i in turn.completion_ids]
        return RewardBreakdown(sum(i % 7 for i in ids) / (6 * len(ids)), {})


def settings(
    root: Path, *overrides: str, door: str = "train", small: list[str] = SMALL
) -> DictConfig:
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # mlflow sets it to the store of the last run
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, [*small, f"paths.root={root}", *overrides])


def store(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")


def only_run(root: Path) -> MLflowRun:
    (experiment,) = store(root).search_experiments(filter_string="name = 'vigorl'")
    (run,) = store(root).search_runs([experiment.experiment_id])
    return run


def history(root: Path, name: str) -> list[tuple[int, float]]:
    """(updates done, value) of a metric, in order of updates."""
    found = store(root).get_metric_history(only_run(root).info.run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class KillingReward(TokenReward):
    """Kills this very process (kill -9) in the middle of the fourth phase."""

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        if rollout.group.startswith("train/3/"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().breakdown(rollout)


def run_door(
    *overrides: str, small: list[str] = SMALL, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """`python -m vigorl.train` in a process of its own."""
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": "src:."}
    env.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [sys.executable, "-m", "vigorl.train", *small, *overrides],
        cwd=Path(CONFIGS).parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
