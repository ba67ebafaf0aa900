"""A real server that takes adapters alone: it samples from them, and makes a phase while this
process learns from the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.integration.door import VARIED_REWARD, history, settings
from tests.vllm.test_server import FOLDER, Served, Small, assert_same, small
from vigorl.models.lora import LoraSettings
from vigorl.models.policy import Policy
from vigorl.models.weight_export import export_adapters, export_weights
from vigorl.rollout.engines.hf import HFEngine
from vigorl.train import train

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow]

__all__ = ["small"]
LORA = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served.start(
        tmp_path_factory.mktemp("vllm"),
        "--enable-lora", "--max-lora-rank=8", VLLM_ALLOW_RUNTIME_LORA_UPDATING="1",
    )  # fmt: skip
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def test_adapters_alone_are_sampled_from(server: Served, small: Small) -> None:
    engine = small.connect([server], adapters_only=True)
    own = HFEngine.from_pretrained(folder=FOLDER, codec=small.codec, images=small.images)
    assert_same(
        small.rollouts(engine, temperature=0.0), small.rollouts(own, temperature=0.0)
    )  # the base, before the first publish
    policy = Policy.from_pretrained(FOLDER, dtype="float32", lora=LoraSettings(rank=4))
    found = []
    for version in (1, 2):  # the second takes the first one's place
        torch.manual_seed(version)
        with torch.no_grad():
            for name, weight in policy.named_parameters():
                if ".lora_B." in name:
                    weight.copy_(0.02 * torch.randn_like(weight))
        engine.publish(export_adapters(policy.model), version=version)
        own.publish(export_weights(policy.model), version=version)
        found.append(small.rollouts(engine, temperature=0.0))
        assert_same(found[-1], small.rollouts(own, temperature=0.0))
    first = [[r.turns[0].sampling_logprobs[0] for r in rollouts] for rollouts in found]
    assert first[0] != pytest.approx(first[1], abs=1e-4)
    engine.close()


def test_a_server_makes_the_next_phase_meanwhile(server: Served, tmp_path: Path) -> None:
    """One that another run has left its adapters on."""
    whole, spare = tmp_path / "whole", tmp_path / "spare"
    for root, more in ((whole, []), (spare, ["spare_groups=1", "max_staleness=2"])):
        train(
            settings(
                root, VARIED_REWARD, "overlap=one_step", "num_phases=4", LORA,
                "engine=server", f"engine.urls=[{server.url}]", "engine.adapters_only=true",
                "optimizer.lr=0.003", "rollout.alignment.every=1",
                *(f"overlap.{one}" for one in more),
            )
        )  # fmt: skip
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
