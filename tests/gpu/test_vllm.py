"""vLLM beside the trainer on one GPU: it sleeps while the policy is updated, and wakes to new
weights; and over two GPUs. On CPUs tests/contract and tests/vllm hold the rest.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.contract.conftest import world
from tests.contract.test_engine_contract import run
from tests.integration.door import VARIED_REWARD, history, run_door, settings
from tests.unit.rollout.world import World
from vigorl.core.errors import EngineError
from vigorl.models.weight_export import export_weights
from vigorl.rollout.collector import build_dialogs
from vigorl.rollout.engines.vllm import VLLMEngine
from vigorl.train import train

__all__ = ["world"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.cuda.is_available() or find_spec("vllm") is None,
        reason="needs a CUDA device and vllm; never run so far, no such machine was at hand",
    ),
]
COLOCATED = [
    VARIED_REWARD, "engine=vllm", "engine_limits.can_sleep=true", "engine_limits.kv_cache_gib=2",
    "trainer.accelerator=auto", "precision=bf16-mixed", "model.engine_dtype=bfloat16",
    "alignment.max_mean_gap=0.1", "alignment.max_gap=null", "rollout.alignment.every=1",
]  # fmt: skip


def test_a_sleeping_engine_gives_its_memory_back_and_wakes_to_new_weights(world: World) -> None:
    engine = VLLMEngine(
        str(world.folder), world.codec, world.images, dtype="float32", max_images=4,
        max_model_len=4096, kv_cache_gib=4.0, enforce_eager=True, can_sleep=True,
    )  # fmt: skip
    dialogs = build_dialogs(
        world.environment(temperature=0.0), [world.task()], group_size=2, phase="p", run_seed=0
    )
    requests = [dialog.next_request() for dialog in dialogs]
    short = [replace(r, sampling=replace(r.sampling, max_new_tokens=16)) for r in requests]
    model = world.model()
    engine.publish(export_weights(model), version=0)
    before = run(engine, short)
    awake = torch.cuda.mem_get_info()[0]
    engine.sleep()
    assert torch.cuda.mem_get_info()[0] - awake > 3.5 * 2**30
    with pytest.raises(EngineError, match="sleeps"):
        engine.submit(short[0])
    engine.publish(export_weights(model), version=1)
    again = run(engine, short)
    assert {i: c.token_ids for i, c in again.items()} == {i: c.token_ids for i, c in before.items()}
    engine.sleep()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    engine.publish(export_weights(model), version=2)
    assert run(engine, short) != again


@pytest.mark.parametrize(
    "extra",
    [[], ["strategy=zero3"], ["model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"]],
)
def test_colocated_training_stays_aligned(tmp_path: Path, extra: list[str]) -> None:
    if "strategy=zero3" in extra:
        pytest.importorskip("deepspeed")
    train(settings(tmp_path, *COLOCATED, *extra))
    assert len(history(tmp_path, "align/mean_gap")) == 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize(
    ("tensor_parallel_size", "strategy", "together"),
    [(1, "zero3", 1), (2, "zero3", 1), (1, "fsdp2", 1), (1, "fsdp2", 2)],
)
def test_two_ranks(tmp_path: Path, tensor_parallel_size: int, strategy: str, together: int) -> None:
    done = run_door(
        *COLOCATED, f"paths.root={tmp_path}", "trainer.devices=2", f"strategy={strategy}",
        "model.packing=true", f"model.context_parallel={together}", "plan.micro_batch_size=2",
        f"engine.tensor_parallel_size={tensor_parallel_size}",
        small=["debug=fast"], launcher=("-m", "torch.distributed.run", "--standalone",
                                        "--nproc-per-node=2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    assert len(history(tmp_path, "align/mean_gap")) == 2
