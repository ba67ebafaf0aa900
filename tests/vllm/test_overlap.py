"""A real server makes a phase while this process learns from the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import VARIED_REWARD, history, settings
from tests.vllm.test_server import Served
from vigorl.train import train

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow]

LORA = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"


def test_a_server_makes_the_next_phase_meanwhile(tmp_path: Path) -> None:
    server = Served.start(
        tmp_path, "--enable-lora", "--max-lora-rank=8", VLLM_ALLOW_RUNTIME_LORA_UPDATING="1"
    )
    try:
        server.wait()
        train(
            settings(
                tmp_path, VARIED_REWARD, "overlap=one_step", "num_phases=4", LORA,
                "engine=server", f"engine.urls=[{server.url}]", "engine.adapters_only=true",
                "optimizer.lr=0.003", "rollout.alignment.every=1",
            )
        )  # fmt: skip
    finally:
        server.kill()
    assert history(tmp_path, "rollout/staleness") == [(0, 0), (1, 1), (2, 1), (3, 1)]
    # each phase the server was asked by the weights that it had: those of the policy
    assert len(history(tmp_path, "align/max_gap")) == 4
    assert max(value for _, value in history(tmp_path, "align/max_gap")) < 1e-3
    gaps = dict(history(tmp_path, "kl/sampling_gap_max"))
    assert gaps[0] < 1e-3 < 1e-2 < gaps[3]  # of older weights
    assert max(value for _, value in history(tmp_path, "rollout/zooms_mean")) > 0
