"""Weights to vLLM servers: by NCCL to another GPU, by CUDA IPC on the same one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from tests.vllm.test_server import FOLDER, Served, Small, assert_same, small
from vigorl.models.weight_export import export_weights
from vigorl.rollout.engines.hf import HFEngine

__all__ = ["small"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(
        torch.cuda.device_count() < 2 or find_spec("vllm") is None,
        reason="needs two CUDA devices and vllm; never run so far, no such machine was at hand",
    ),
]


@pytest.mark.parametrize("backend", ["nccl", "ipc"])
def test_published_weights_are_sampled_from(backend: str, small: Small, tmp_path: Path) -> None:
    server = Served.start(
        tmp_path,
        f'--weight-transfer-config={{"backend": "{backend}"}}',
        "--dtype=float32",
        CUDA_VISIBLE_DEVICES="0" if backend == "ipc" else "1",
        VLLM_ALLOW_INSECURE_SERIALIZATION="1",
    )
    try:
        server.wait()
        engine = small.connect([server], transfer=backend, bucket_bytes=1 << 20)
        own = HFEngine.from_pretrained(
            folder=FOLDER, codec=small.codec, images=small.images, device="cuda:0"
        )
        model: Any = AutoModelForImageTextToText.from_pretrained(FOLDER).to("cuda:0")
        for version in (1, 2):
            with torch.no_grad():
                for weight in model.model.visual.parameters():
                    weight.mul_(1.2)
            engine.publish(export_weights(model), version=version)
            own.publish(export_weights(model), version=version)
            found = small.rollouts(engine, temperature=0.0)
            assert_same(found, small.rollouts(own, temperature=0.0), gap=1e-2)
        engine.close()
    finally:
        server.kill()
