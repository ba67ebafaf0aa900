"""The model that a run leaves is that of its best phase, bit for bit, wherever it was stopped or
killed.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.integration.door import (
    history,
    only_run,
    run_door,
    same_weights,
    settings,
    start_weights,
    weights,
)
from vigorl.core.errors import ConfigError
from vigorl.model_sources import export
from vigorl.train import train

pytestmark = pytest.mark.slow

SFT = [  # one update per epoch
    "experiment=sft_vstar",
    "stages=null",
    "data.num_traces=8",
    "data.num_val=2",
    "pixels.cache_bytes=100000000",
    "limits.max_new_tokens=8",
    "max_epochs=5",
    "traces.sequences_per_update=8",
    "traces.micro_batch_size=4",
    "optimizer.warmup_frac=0",
    "callbacks.checkpoint.every=1",
    "+callbacks.checkpoint.keep=9",
]
BY_REWARD = ["early_stop=val_accuracy", "early_stop.metric=val/reward/total"]
HUMP = "reward._target_=tests.integration.door.HumpReward"
LORA = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"


def run(root: Path, *overrides: str) -> Path:
    train(settings(root, *SFT, *overrides, f"paths.run={root}/run"))
    return root / "run"


def of_phase(run: Path, phase: int) -> Mapping[str, torch.Tensor]:
    folder = run.with_name(f"exported_{phase}")
    return weights(export(str(run / f"checkpoints/phase-0000{phase}.ckpt"), str(folder)))


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


@pytest.fixture(scope="module")
def hump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run whose rewards are 0.25, 0.5, 0.75, 0.625, 0.5 and would be 0.875."""
    root = tmp_path_factory.mktemp("hump")
    run(root, *BY_REWARD, HUMP)
    return root


def test_the_model_is_the_best_phases_and_training_stops(hump: Path) -> None:
    folder = hump / "run"
    assert names(folder / "checkpoints", "*.ckpt") == [f"phase-0000{i}.ckpt" for i in (1, 2, 3, 4)]
    assert names(folder, "model*") == ["model"]
    assert same_weights(weights(folder / "model"), of_phase(folder, 2))
    assert not same_weights(weights(folder / "model"), of_phase(folder, 4))
    assert [value for _, value in history(hump, "best/phase")] == [0, 1, 2, 2, 2]
    assert history(hump, "best/val/reward/total")[-1] == (4, 0.75)
    said = only_run(hump).data.tags["early_stop"]
    best = "val/reward/total was best after phase 2 of 4: 0.75"
    assert said == f"{best}; stopped by early_stop.patience=2"


def test_resuming_a_stopped_run_changes_nothing(hump: Path) -> None:
    before = weights(hump / "run/model")
    metrics = train(settings(hump, *SFT, *BY_REWARD, HUMP, f"resume={hump}/run"))
    assert same_weights(weights(hump / "run/model"), before)
    assert len(history(hump, "train/loss")) == 4
    assert "train/loss" not in metrics


def test_killed_and_resumed_stops_at_the_same_phase_with_the_same_model(
    hump: Path, tmp_path: Path
) -> None:
    killing = HUMP.replace("HumpReward", "KillingHumpReward")
    folders = [f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"]
    dead = run_door(*SFT, *BY_REWARD, killing, *folders)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-3000:]
    # the next evaluation without improvement is the last, if the first of them is not forgotten
    assert names(tmp_path / "run/checkpoints", "*.ckpt")[-1] == "phase-00003.ckpt"
    assert names(tmp_path / "run", "model*") == ["model.best-00002"]
    train(settings(tmp_path, *SFT, *BY_REWARD, HUMP, f"resume={tmp_path}/run"))
    assert names(tmp_path / "run/checkpoints", "*.ckpt")[-1] == "phase-00004.ckpt"
    assert same_weights(weights(tmp_path / "run/model"), weights(hump / "run/model"))


def test_with_adapters_the_best_ones_are_merged(tmp_path: Path) -> None:
    folder = run(tmp_path, *BY_REWARD, HUMP, LORA)
    assert same_weights(weights(folder / "model"), of_phase(folder, 2))
    assert not same_weights(weights(folder / "model"), of_phase(folder, 4))


def test_where_no_phase_beats_the_start_the_model_is_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    falling = HUMP.replace("HumpReward", "FallingReward")
    folder = run(tmp_path, *BY_REWARD, falling)
    assert same_weights(weights(folder / "model"), start_weights())
    assert not same_weights(weights(folder / "model"), of_phase(folder, 2))
    assert "no phase of 2 was better than the start" in caplog.text


def test_a_loss_that_gets_worse_ends_the_run(tmp_path: Path) -> None:
    # the rate rises over the whole run, to what no model stands
    rate = ["optimizer.lr=0.3", "optimizer.warmup_frac=0.99", "max_epochs=12"]
    folder = run(tmp_path, "early_stop=val_nll", "early_stop.patience=1", *rate, "rollout=null")
    losses = [value for _, value in history(tmp_path, "val/nll")]
    best = losses.index(min(losses)) + 1  # phases count from 1, and the start has no loss
    assert len(losses) == best + 1 < 12
    assert same_weights(weights(folder / "model"), of_phase(folder, best))


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param("ddp", marks=pytest.mark.long),
        pytest.param("zero3", marks=pytest.mark.deepspeed),
    ],
)
def test_two_processes_agree_on_the_best(strategy: str, tmp_path: Path) -> None:
    if strategy != "ddp":
        pytest.importorskip("deepspeed")
    ranks = [f"strategy={strategy}", "trainer.devices=2"]
    folders = [f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"]
    result = run_door(*SFT, *BY_REWARD, HUMP, *ranks, *folders)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    folder = tmp_path / "run"
    assert names(folder / "checkpoints", "*.ckpt") == [f"phase-0000{i}.ckpt" for i in (1, 2, 3, 4)]
    assert same_weights(weights(folder / "model"), of_phase(folder, 2))


def test_what_is_not_measured_cannot_be_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'val/accuracy' is not .* one of \['val/nll'\]"):
        run(tmp_path, "early_stop=val_accuracy", "rollout=null")
