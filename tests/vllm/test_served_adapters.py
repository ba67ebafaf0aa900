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
    whole, spare = tmp_path / "whole", tmp_path / "spare"
    server = Served.start(
        tmp_path, "--enable-lora", "--max-lora-rank=8", VLLM_ALLOW_RUNTIME_LORA_UPDATING="1"
    )
    try:
        server.wait()
        for root, more in ((whole, []), (spare, ["spare_groups=1", "max_staleness=2"])):
            train(
                settings(
                    root, VARIED_REWARD, "overlap=one_step", "num_phases=4", LORA,
                    "engine=server", f"engine.urls=[{server.url}]", "engine.adapters_only=true",
                    "optimizer.lr=0.003", "rollout.alignment.every=1",
                    *(f"overlap.{one}" for one in more),
                )
            )  # fmt: skip
    finally:
        server.kill()
    assert [age for _, age in history(whole, "rollout/staleness")] == [0, 1, 1, 1]
    gaps = dict(history(whole, "kl/sampling_gap_max"))
    assert gaps[0] < 1e-3 < 1e-2 < gaps[3]  # of older weights
    ages = [age for _, age in history(spare, "rollout/staleness")]
    assert ages[0] == 0 < min(ages[1:]) <= max(ages) <= 2
    assert {num for _, num in history(spare, "groups/left")} == {1}
    for root in (whole, spare):
        # each phase the server was asked by the weights that it had: those of the policy
        assert len(history(root, "align/max_gap")) == 4
        assert max(value for _, value in history(root, "align/max_gap")) < 1e-3
        assert max(value for _, value in history(root, "rollout/zooms_mean")) > 0
