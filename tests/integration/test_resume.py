"""A run that is killed and resumed is, to the last bit, the run that was not."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from tests.integration.door import (
    VARIED_REWARD,
    all_metrics,
    has_several_turns,
    only_run,
    run_door,
    same_weights,
    settings,
    weights,
)
from tests.unit.training.test_tensor_files import Payload
from vigorl.core.digests import write_digest
from vigorl.core.errors import ConfigError
from vigorl.train import train

pytestmark = pytest.mark.slow

EVERY_PHASE = [VARIED_REWARD, "callbacks.checkpoint.every=1"]
FOUR_PHASES = [
    "num_phases=4", "callbacks.checkpoint.every=2", "callbacks.rollout_logger.every=100"
]  # fmt: skip


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(settings(whole, *FOUR_PHASES, VARIED_REWARD, f"paths.run={whole}/run"))
    assert has_several_turns(whole)

    folders = [f"paths.root={killed}", f"paths.run={killed}/run"]
    killing = VARIED_REWARD.replace("TokenReward", "KillingReward")
    dead = run_door(*FOUR_PHASES, killing, *folders)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-3000:]
    # the third phase was finished, but its checkpoint was not due: it is run again
    assert [p.name for p in (killed / "run/checkpoints").glob("*.ckpt")] == ["phase-00002.ckpt"]
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

    # what that command line said is taken, written down, and known to a further one
    said = json.loads((killed / "run/run.json").read_text())["overrides"]
    assert VARIED_REWARD in said
    assert killing not in said
    assert "KillingReward" not in (killed / "run/config.yaml").read_text()
    tag = only_run(killed).data.tags["changed.reward._target_"]
    names = [f"tests.integration.door.{name}" for name in ("KillingReward", "TokenReward")]
    assert tag == " -> ".join(names) + " at phase-00002"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    train(settings(root, *EVERY_PHASE, f"paths.run={root}/run"))
    return root


def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    before, logged = weights(finished / "run/model"), all_metrics(finished)
    train(settings(finished, *EVERY_PHASE, f"resume={finished}/run"))
    assert same_weights(weights(finished / "run/model"), before)
    assert all_metrics(finished) == logged


def test_damage_costs_phases_but_changes_nothing(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(finished, root)
    run, copy = finished / "run", root / "run"
    shutil.rmtree(copy / "model")
    last = copy / "checkpoints/phase-00002.ckpt"
    torch.save(
        {"state_dict": Payload(tmp_path / "made")}, last
    )  # foreign, and not what was written
    train(settings(root, *EVERY_PHASE, f"resume={copy}"))
    assert same_weights(weights(copy / "model"), weights(run / "model"))

    torch.save({"state_dict": Payload(tmp_path / "made")}, last)
    write_digest(last, of=last)
    with pytest.raises(ConfigError, match=r"phase-00002\.ckpt is no checkpoint of vigorl"):
        train(settings(root, *EVERY_PHASE, f"resume={copy}"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("reward", "name", "code"),
    [("EndingReward", "SIGTERM", 143), ("InterruptingReward", "SIGINT", 130)],
)
def test_a_signal_ends_a_run_and_says_how_to_go_on(
    reward: str, name: str, code: int, tmp_path: Path
) -> None:
    ending = VARIED_REWARD.replace("TokenReward", reward)
    dead = run_door(ending, f"paths.root={tmp_path}", f"paths.run={tmp_path}/run")
    assert dead.returncode == code, dead.stderr[-3000:]
    assert dead.stderr.splitlines()[-1] == (
        f"stopped by {name}: python -m vigorl.train 'resume=\"{tmp_path}/run\"' goes on"
    )
    assert "Traceback" not in dead.stderr
    assert only_run(tmp_path).info.status == "KILLED"
