"""Mixed precision through the door, on the CPU: float32 weights that learn, bfloat16 compute."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.integration.door import (
    NO_LOOKS,
    VARIED_REWARD,
    history,
    settings,
    start_weights,
    weights,
)
from vigorl.model_sources import export
from vigorl.train import train

pytestmark = pytest.mark.slow

# the step of the full scales, on which bfloat16 weights would stand still; two updates a phase
MIXED = [
    VARIED_REWARD,
    *NO_LOOKS,
    "precision=bf16-mixed",
    "alignment.max_mean_gap=0.1",
    "alignment.max_gap=null",
    "model.engine_dtype=bfloat16",
    "kl_coef=0.5",
    "optimizer.lr=1e-6",
    "optimizer.warmup_frac=0",
    "plan.sequences_per_update=4",
    "plan.micro_batch_size=2",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixed")
    train(settings(root, *MIXED, f"paths.run={root}/run"))
    return root


def test_small_steps_reach_most_weights(trained: Path) -> None:
    export(str(trained / "run/checkpoints/phase-00001.ckpt"), str(trained / "first"))
    start, now = start_weights(), weights(trained / "first")
    layers = [name for name in now if "layers." in name and "visual" not in name]
    moved = sum(int((now[name] != start[name]).sum()) for name in layers)
    assert {now[name].dtype for name in layers} == {torch.float32}
    assert moved > 0.9 * sum(now[name].numel() for name in layers)


def test_policy_reference_and_old_policy_are_computed_alike(trained: Path) -> None:
    assert history(trained, "kl/ref")[0][1] == pytest.approx(0.0, abs=1e-9)
    assert history(trained, "train/ratio_max")[0][1] == pytest.approx(1.0, abs=1e-6)


def test_export_writes_the_dtype_it_says(trained: Path) -> None:
    last = str(trained / "run/checkpoints/phase-00002.ckpt")
    for dtype in ("float32", "bfloat16"):
        folder = export(last, str(trained / dtype), dtype=dtype)
        assert {weight.dtype for weight in weights(folder).values()} == {getattr(torch, dtype)}
        assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
