"""A run whose groups say what it asks next: the same after a kill, and on two ranks."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.door import (
    VARIED_REWARD,
    all_metrics,
    run_door,
    same_weights,
    settings,
    start_weights,
    weights,
)
from vigorl.rollout.recorder import read_rollouts
from vigorl.train import train
from vigorl.training.samplers.solve_rate import SolveRateSampling

pytestmark = pytest.mark.slow

NUM_TASKS, NUM_PROMPTS = 8, 4
SETTINGS: dict[str, Any] = {
    "skip_below": 0.1,
    "skip_above": 0.9,
    "smoothing": 0.25,
    "exponent": 2.0,
}
WORK = [
    "num_phases=4",
    "rollout.eval_every=0",
    "callbacks.checkpoint.every=2",
    f"plan.prompts_per_phase={NUM_PROMPTS}",
    "plan.sequences_per_update=16",
    f"data.num_train={NUM_TASKS}",
    "data.comparison_frac=0",  # four options each: a guess is right in a quarter
    "sampler=solve_rate",
    *(f"sampler.{key}={value}" for key, value in SETTINGS.items()),
    "engine._target_=tests.integration.door.guessing_engine",
    "rollout.alignment=null",  # a script says what it says, whatever the weights
    "optimizer.warmup_frac=0",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    train(settings(root, *WORK, VARIED_REWARD, f"paths.run={root}/run"))
    return root


def asked(root: Path) -> list[list[str]]:
    """The tasks of each phase, sorted."""
    phases: dict[str, set[str]] = {}
    for path in sorted((root / "run/rollouts").glob("train_phase_*.jsonl")):
        for recorded in read_rollouts(path):
            task = recorded.scored.rollout.task
            phases.setdefault(recorded.phase, set()).add(task.id)
    return [sorted(phases[phase]) for phase in sorted(phases)]


def solve_rates(root: Path) -> dict[str, float]:
    """As the last checkpoint holds them."""
    path = root / "run/checkpoints/phase-00004.ckpt"
    state = torch.load(path, map_location="cpu", weights_only=False)
    return state["GroundedTraceDataModule"]["solve_rates"]


def test_killed_and_resumed_asks_the_same_and_learns_the_same(whole: Path, tmp_path: Path) -> None:
    folders = [f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"]
    killing = VARIED_REWARD.replace("TokenReward", "KillingReward")
    dead = run_door(*WORK, killing, *folders)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-3000:]
    # the third phase was finished and measured, but its checkpoint was not due: it is run again
    assert [p.name for p in (tmp_path / "run/checkpoints").glob("*.ckpt")] == ["phase-00002.ckpt"]

    train(settings(tmp_path, *WORK, VARIED_REWARD, f"resume={tmp_path}/run"))
    assert asked(tmp_path) == asked(whole)
    assert solve_rates(tmp_path) == solve_rates(whole)
    assert all_metrics(tmp_path) == all_metrics(whole)
    assert same_weights(weights(tmp_path / "run/model"), weights(whole / "run/model"))


def test_rates_differ_and_decide(whole: Path) -> None:
    """Without which the other tests here would show nothing."""
    phases, rates, metrics = asked(whole), solve_rates(whole), all_metrics(whole)
    assert [len(phase) for phase in phases] == [NUM_PROMPTS] * 4
    assert set(rates) == {task for phase in phases for task in phase}
    assert len(set(rates.values())) > 2
    assert metrics["data/rated_frac"][1] == {NUM_PROMPTS / NUM_TASKS}
    assert max(value for values in metrics["data/skipped_frac"].values() for value in values) > 0
    assert not same_weights(weights(whole / "run/model"), start_weights())

    # a run that had lost its rates would ask other tasks in the phases that were resumed
    sampling, none = SolveRateSampling(**SETTINGS), [None] * NUM_TASKS
    forgetful = [
        sorted(
            f"train/task-{i:05d}"
            for i in sampling.choose(none, phase=phase, count=NUM_PROMPTS, seed=0).indices
        )
        for phase in range(4)
    ]
    assert [a == b for a, b in zip(forgetful, phases, strict=True)] == [True, False, False, False]


@pytest.mark.long
def test_two_ranks_measure_what_one_does(whole: Path, tmp_path: Path) -> None:
    # 16 rollouts = 2 ranks x 2 micro-batches of 4
    ranks = ["strategy=ddp", "trainer.devices=2"]
    found = run_door(
        *WORK, VARIED_REWARD, *ranks, f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert len(list((tmp_path / "run/rollouts").glob("train_phase_*_rank*.jsonl"))) == 8
    assert asked(tmp_path) == asked(whole)
    assert solve_rates(tmp_path) == solve_rates(whole)
