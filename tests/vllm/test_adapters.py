"""Adapters published alone: vLLM puts them on its base, and says what the merged policy says."""

from __future__ import annotations

import pytest
import torch

from tests.contract.test_engine_contract import assert_same, run
from tests.unit.rollout.world import World
from vigorl.models.lora import LoraSettings
from vigorl.models.policy import Policy
from vigorl.models.weight_export import export_adapters, export_weights
from vigorl.rollout.collector import build_dialogs
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.vllm import VLLMEngine

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")


@pytest.mark.vllm
def test_adapters_alone_are_the_policy_of_the_merged_weights(world: World) -> None:
    engine = VLLMEngine(
        str(world.folder), world.codec, world.images, dtype="float32", max_images=4,
        max_model_len=4096, kv_cache_gib=0.25, block_size=32, enforce_eager=True, adapter_rank=3,
    )  # fmt: skip
    merged = HFEngine(world.model(), world.codec, world.images)
    assert engine.takes_adapters
    assert not merged.takes_adapters
    lora = LoraSettings(rank=3, alpha=12.0)
    policy = Policy.from_pretrained(world.folder, dtype="float32", lora=lora)
    environment = world.environment(max_new_tokens=24, temperature=0.0)
    dialogs = build_dialogs(
        environment, [world.task(), world.task("other")], group_size=2, phase="p", run_seed=0
    )
    requests = [dialog.next_request() for dialog in dialogs]
    found = []
    for version in (1, 2):  # the second takes the first one's place
        torch.manual_seed(version)
        with torch.no_grad():
            for name, weight in policy.named_parameters():
                if ".lora_" in name:
                    weight.copy_(0.2 * torch.randn_like(weight))
        engine.publish(export_adapters(policy.model), version=version)
        merged.publish(export_weights(policy.model), version=version)
        assert engine.last_publish is not None
        assert merged.last_publish is not None
        assert engine.last_publish.num_bytes < 0.2 * merged.last_publish.num_bytes
        found.append(run(engine, requests))
        expected = run(merged, requests)
        for request_id, completion in found[-1].items():
            assert_same(completion, expected[request_id])
    assert found[0] != found[1]
