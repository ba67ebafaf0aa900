"""vLLM samples from every family what one full forward pass says; see tests/unit/families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from tests.unit.families.little import Little, batch_of, little, plain_logprobs, two_turns
from tests.vllm.test_server import Served
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import GenerationRequest, SamplingParams
from vigorl.data.collate import TrainingBatch
from vigorl.families.lookup import family_of
from vigorl.models.weight_export import export_weights
from vigorl.rollout.engines.server import ServerEngine
from vigorl.rollout.engines.vllm import VLLMEngine

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")
pytestmark = pytest.mark.vllm

__all__ = ["little"]


def test_vllms_logprobs_are_those_of_one_full_forward_pass(little: Little) -> None:
    """In float32 to rounding; linear attention, which vLLM's CPU computes in bfloat16 alone, to
    that, and after a publish as before it.
    """
    family = family_of(little.folder)
    if "vllm" not in family.engines:
        pytest.skip("refused by name")
    is_linear = bool(linear_attention(little).layers)
    engine = VLLMEngine(
        str(little.folder),
        little.codec,
        little.images,
        dtype="bfloat16" if is_linear else "float32",
        max_images=4,
        max_model_len=2048,
        kv_cache_gib=0.25,
        block_size=32,
        enforce_eager=True,
    )
    if is_linear:
        engine.publish(export_weights(little.model), version=1)
    check_sampling_logprobs(little, batch_of(little, two_turns(little, engine)))


@pytest.mark.parametrize("little", ["internvl"], indirect=True)
def test_vllm_reads_a_dialog_without_rows_and_columns_as_the_trainer_does(little: Little) -> None:
    engine = VLLMEngine(
        str(little.folder), little.codec, little.images,
        dtype="float32", max_model_len=2048, kv_cache_gib=0.25, enforce_eager=True,
    )  # fmt: skip
    engine.publish(export_weights(little.model), version=1)
    sample = two_turns(little, engine)
    batch, family = batch_of(little, sample), family_of(little.folder)
    reading = engine.read(
        GenerationRequest("a", sample.token_ids, sample.views, SamplingParams(1), 0)
    )
    assert reading.token_ids == tuple(batch.input_ids[0].tolist())
    assert reading.image_tokens == tuple(map(little.images.num_tokens, sample.views))
    wanted = family.positions(little.model, batch.input_ids, batch.image_grid_thw)[:, 0]
    assert reading.positions == tuple(map(tuple, wanted.tolist()))


@pytest.mark.parametrize("little", ["qwen3_5"], indirect=True)
def test_a_cpu_computes_linear_attention_in_bfloat16_alone(little: Little) -> None:
    engine = VLLMEngine(str(little.folder), little.codec, little.images, dtype="float32")
    with pytest.raises(ConfigError, match=r"in bfloat16 alone, not float32: set model\.engine"):
        two_turns(little, engine)


@pytest.mark.slow
@pytest.mark.parametrize(
    "little",
    [
        "qwen3_5",  # qwen2_5_vl's is test_server.py's
        pytest.param("qwen3_vl", marks=pytest.mark.long),
        pytest.param("glm4v", marks=pytest.mark.long),
        pytest.param("internvl", marks=pytest.mark.long),
    ],
    indirect=True,
)
def test_a_servers_logprobs_are_those_of_one_full_forward_pass(
    little: Little, tmp_path: Path
) -> None:
    """Within what the engine in this process comes to, for the same reasons."""
    is_linear = bool(linear_attention(little).layers)
    settings = ["--dtype", "bfloat16", "--no-enable-prefix-caching"] if is_linear else []
    server = Served.start(tmp_path, *settings, model=str(little.folder))
    try:
        server.wait()
        engine = ServerEngine(
            codec=little.codec,
            images=little.images,
            urls=[server.url],
            folder=str(little.folder),
        )
        engine.publish(export_weights(little.model), version=1)
        batch = batch_of(little, two_turns(little, engine))
        engine.close()
    finally:
        server.kill()
    check_sampling_logprobs(little, batch)


def linear_attention(little: Little) -> Any:
    config = AutoConfig.from_pretrained(little.folder)
    return family_of(little.folder).linear_attention(config)


def check_sampling_logprobs(little: Little, batch: TrainingBatch) -> None:
    """Against one forward pass in float32."""
    atol = 5e-6
    if (batch.image_grid_thw[:, 0] > 1).any():
        atol = 1e-4  # the whole beside its tiles is resized by torchvision there, by Pillow here
    if linear_attention(little).layers:
        atol = 0.02  # it is computed in bfloat16
    assert batch.sampling_logprobs is not None
    sampled = batch.sampling_logprobs[batch.loss_mask]
    torch.testing.assert_close(sampled, plain_logprobs(little, batch), atol=atol, rtol=0)
