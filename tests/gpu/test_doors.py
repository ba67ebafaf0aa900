"""The train door on one GPU: everything that computes is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.integration.door import VARIED_REWARD, history, settings
from vigorl.build import build_engine, build_parts
from vigorl.rollout.engines.hf import HFEngine
from vigorl.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ON_GPU = [
    VARIED_REWARD,
    "trainer.accelerator=auto",
    "precision=bf16-mixed",
    "alignment.max_mean_gap=0.1",
    "alignment.max_gap=null",
    "model.engine_dtype=bfloat16",
    "kl_coef=0.5",
]


def test_the_engine_is_on_the_gpu_in_its_own_dtype(tmp_path: Path) -> None:
    cfg = settings(tmp_path, *ON_GPU)
    engine = build_engine(cfg, build_parts(cfg))
    assert isinstance(engine, HFEngine)
    assert (engine.device, engine.dtype) == (torch.device("cuda:0"), torch.bfloat16)


@pytest.mark.parametrize("scale", ["tiny", "tiny_qwen3"])
def test_two_phases_on_the_gpu(scale: str, tmp_path: Path) -> None:
    train(settings(tmp_path, f"scale={scale}", *ON_GPU))
    assert history(tmp_path, "kl/ref")[0][1] == pytest.approx(0.0, abs=1e-6)
    # bfloat16 engine against bfloat16 autocast: close, and far from another model's numbers
    assert history(tmp_path, "kl/sampling_vs_train")[0][1] < 0.05


@pytest.mark.parametrize("scale", ["tiny", "tiny_qwen3"])
def test_engine_and_trainer_agree_on_the_gpu_in_float32(scale: str, tmp_path: Path) -> None:
    train(settings(tmp_path, f"scale={scale}", VARIED_REWARD, "trainer.accelerator=auto"))
    assert history(tmp_path, "kl/sampling_gap_max")[0][1] < 1e-4
