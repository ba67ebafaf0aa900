"""A critic through the real door: gone on with, on several ranks, no part of the model."""

from __future__ import annotations

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
from tests.integration.going_on import go_on_from
from vigorl.model_sources import export
from vigorl.train import train

pytestmark = pytest.mark.slow

# a large eps, because AdamW makes steps of full length from rounding errors in place of 0
WORK = [
    VARIED_REWARD, "algorithm=bilevel_gae", "algorithm.reward_kl_coef=0.5", "critic_lr=0.01",
    "plan.sequences_per_update=8", "plan.prompts_per_phase=2", "optimizer.warmup_frac=0",
    "+optimizer.eps=1e-5",
]  # fmt: skip
SAME = ("train/loss", "train/entropy", "critic/loss", "critic/explained_variance", "kl/old")


def test_gone_on_with_equals_uninterrupted(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    three = [*WORK, "num_phases=3", "plan.micro_batch_size=4", "critic.warmup_phases=1"]
    train(settings(whole, *three, f"paths.run={whole}/run"))
    go_on_from(2, whole, killed, *three)
    assert all_metrics(killed) == all_metrics(whole)
    assert same_weights(weights(killed / "run/model"), weights(whole / "run/model"))
    states = [
        torch.load(root / "run/checkpoints/phase-00003.ckpt", weights_only=True)
        for root in (killed, whole)
    ]
    critics = [
        {name: w for name, w in one["state_dict"].items() if name.startswith("critic.")}
        for one in states
    ]
    assert same_weights(*critics)
    assert critics[0]["critic.head.weight"].any()
    # the policy alone is the model
    assert weights(whole / "run/model").keys() == start_weights().keys()
    exported = tmp_path / "exported"
    export(str(whole / "run/checkpoints/phase-00003.ckpt"), str(exported))
    assert same_weights(weights(exported), weights(whole / "run/model"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone")
    train(settings(root, *WORK, "plan.micro_batch_size=4", f"paths.run={root}/run"))
    assert has_several_turns(root)
    return root


@pytest.mark.long
def test_two_processes_learn_what_one_learns(alone: Path, tmp_path: Path) -> None:
    sizes = ["trainer.devices=2", "plan.micro_batch_size=2", "strategy=ddp"]
    folders = [f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"]
    result = run_door(*WORK, *sizes, *folders)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    for name in SAME:
        wanted, found = history(alone, name), history(tmp_path, name)
        assert [step for step, _ in found] == [step for step, _ in wanted], name
        values = [value for _, value in wanted]
        assert [value for _, value in found] == pytest.approx(values, rel=1e-4, abs=1e-6), name
    wanted_weights = weights(alone / "run/model")
    for name, weight in weights(tmp_path / "run/model").items():
        torch.testing.assert_close(weight, wanted_weights[name], atol=1e-5, rtol=0, msg=name)
    start = start_weights()
    assert max(float((wanted_weights[n] - start[n]).abs().max()) for n in start) > 1e-4
