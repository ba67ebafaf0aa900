"""Two real processes, under DeepSpeed ZeRO and FSDP2 too, learn what one process learns from the
same rollouts, and go on after a kill. `test_combinations.py` has the other kinds of ZeRO.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.integration.door import (
    VARIED_REWARD,
    all_metrics,
    has_several_turns,
    history,
    run_door,
    same_weights,
    settings,
    start_weights,
    weights,
)
from vigorl.model_sources import export
from vigorl.train import train

pytest.importorskip("deepspeed")
pytestmark = [pytest.mark.slow, pytest.mark.deepspeed]

# KL, because on-policy advantages alone make a loss of 0; a large eps, because AdamW makes steps
# of full length from rounding errors in place of 0. The norm is above the clip, so clipping acts.
CLIP = 0.05
WORK = [
    VARIED_REWARD,
    "kl_coef=0.5",
    f"gradient_clip={CLIP}",
    "optimizer.warmup_frac=0",
    "optimizer.schedule=linear",
    "+optimizer.eps=1e-5",
]
SAME = (
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "kl/ref",
    "train/entropy",
    "reward/total",
    "val/completion_tokens_mean",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone")
    train(settings(root, *WORK, "plan.micro_batch_size=4", f"paths.run={root}/run"))
    assert has_several_turns(root)
    return root


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The root of one run of two processes under a strategy."""
    roots: dict[str, Path] = {}

    def run(strategy: str) -> Path:
        if strategy not in roots:
            root = roots[strategy] = tmp_path_factory.mktemp(strategy)
            result = run_door(*ranks(strategy), f"paths.root={root}", f"paths.run={root}/run")
            assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
        return roots[strategy]

    return run


def ranks(strategy: str) -> list[str]:
    """One update of 8 rollouts = 2 ranks x 2 micro-batches of 2; alone, 2 micro-batches of 4."""
    return [*WORK, f"strategy={strategy}", "trainer.devices=2", "plan.micro_batch_size=2"]


@pytest.mark.parametrize("strategy", ["ddp", "zero3", "fsdp2"])
def test_two_processes_learn_what_one_learns(
    strategy: str, alone: Path, together: Callable[[str], Path], tmp_path: Path
) -> None:
    root = together(strategy)
    assert has_several_turns(root)
    for name in SAME:
        wanted, found = history(alone, name), history(root, name)
        assert [step for step, _ in found] == [step for step, _ in wanted], name
        values = [value for _, value in wanted]
        assert [value for _, value in found] == pytest.approx(values, rel=1e-4, abs=1e-6), name
    assert history(alone, "train/loss")[1][1] > 1e-6
    assert min(norm for _, norm in history(alone, "train/grad_norm")) > CLIP

    wanted_weights, found_weights = weights(alone / "run/model"), weights(root / "run/model")
    start = start_weights()
    for name, weight in found_weights.items():
        torch.testing.assert_close(weight, wanted_weights[name], atol=1e-5, rtol=0, msg=name)
    assert max(float((wanted_weights[n] - start[n]).abs().max()) for n in start) > 1e-4

    export(str(root / "run/checkpoints/phase-00002.ckpt"), str(tmp_path / "exported"))
    assert same_weights(weights(tmp_path / "exported"), found_weights)
    # each rank rolled out its own half of the prompts
    halves = [root / f"run/rollouts/train_phase_0000_rank{rank}.jsonl" for rank in (0, 1)]
    assert all(half.is_file() for half in halves)


@pytest.mark.parametrize(
    "strategy", [pytest.param("zero2", marks=pytest.mark.long), "zero3", "fsdp2"]
)
def test_killed_and_resumed_equals_uninterrupted(
    strategy: str, together: Callable[[str], Path], tmp_path: Path
) -> None:
    folders = [f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"]
    killing = VARIED_REWARD.replace("TokenReward", "SoonKillingReward")
    dead = run_door(*ranks(strategy), killing, *folders)
    # Lightning ends the first process when it sees that the other is dead
    assert dead.returncode in (-signal.SIGKILL, -signal.SIGTERM), dead.stderr[-6000:]
    (checkpoint,) = (tmp_path / "run/checkpoints").glob("*.ckpt")
    assert checkpoint.name == "phase-00001.ckpt"
    assert checkpoint.is_dir() == (strategy != "fsdp2")

    resumed = run_door(f"resume={tmp_path}/run", VARIED_REWARD, small=[])
    assert resumed.returncode == 0, resumed.stdout[-2000:] + resumed.stderr[-6000:]
    whole = together(strategy)
    wanted, found = all_metrics(whole), all_metrics(tmp_path)
    assert len(wanted["train/loss"]) == 2
    assert {name: found[name].keys() for name in found} == {n: wanted[n].keys() for n in wanted}
    for name, steps in wanted.items():
        for step, values in steps.items():  # equal but for the last bits of long sums
            both = values | found[name][step]
            assert max(both) == pytest.approx(min(both), rel=1e-5, abs=1e-7), (name, step)
    wanted_weights = weights(whole / "run/model")
    for name, weight in weights(tmp_path / "run/model").items():
        torch.testing.assert_close(weight, wanted_weights[name], atol=1e-7, rtol=0, msg=name)
