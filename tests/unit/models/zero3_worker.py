"""One rank of test_zero3.py: a ZeRO-3 step of uneven batches equals the step of one process."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist

from tests.fingerprint import weight_fingerprint
from tests.unit.models.small import make_batch, save_folder
from tests.unit.models.test_vision_cache import Pixels
from vigorl.models.lora import LoraSettings
from vigorl.models.losses import sft_loss
from vigorl.models.policy import Policy
from vigorl.models.vision_cache import VisionCache
from vigorl.models.weight_export import export_adapters, export_weights
from vigorl.training.strategy import compile_nothing

CONFIG = {
    "train_micro_batch_size_per_gpu": 1,
    "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "optimizer": {"type": "SGD", "params": {"lr": 0.1}},
    "zero_allow_untested_optimizer": True,
    "gradient_clipping": 0.0,  # DeepSpeed clips at 1.0 when not told
}
ROWS = ([[(4, 4), (2, 4)]], [[], [], []])  # rank 1 has no pictures, and more tokens
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"freeze_vision_tower": False},
    {"lora": LoraSettings(rank=2)},
)


def check(folder: Path, saved: Path, settings: dict[str, Any]) -> None:
    """Logprobs, exported and saved weights, and one SGD step equal those of one process."""
    rank = dist.get_rank()
    alone = Policy.from_pretrained(folder, dtype="float32", **settings)
    policy = Policy.from_pretrained(
        folder, dtype="float32", gradient_checkpointing=True, **settings
    )
    policy.train()
    torch.manual_seed(3)
    for (name, weight), same in zip(alone.named_parameters(), policy.parameters(), strict=True):
        if "lora_" in name:
            weight.data.normal_(std=0.1)
            same.data.copy_(weight.data)
    start = weight_fingerprint(export_weights(alone.model))
    trained = [weight for weight in policy.parameters() if weight.requires_grad]
    engine, *_ = deepspeed.initialize(model=policy, model_parameters=trained, config=CONFIG)

    batch = make_batch(*ROWS[rank])
    expected, _ = alone.response_logprobs(batch)
    if policy.is_vision_frozen:
        cache = VisionCache(policy, always_call=True)
        features = cache.get(batch.views, Pixels())
        blind = replace(batch, pixel_values=None)
        found, _ = policy.response_logprobs(blind, features=features, chunk_tokens=2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found, _ = policy.response_logprobs(batch, chunk_tokens=2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    engine.backward(sft_loss(found, batch.loss_mask, batch.token_weight).loss)
    assert weight_fingerprint(export_weights(policy.model, bucket_bytes=20_000)) == start
    own = dict(export_adapters(alone.model))
    for name, weight in export_adapters(policy.model):
        torch.testing.assert_close(weight, own.pop(name), msg=name)
    assert not own
    engine.step()

    for rows in ROWS:
        part = make_batch(*rows)
        logprobs, _ = alone.response_logprobs(part)
        (sft_loss(logprobs, part.loss_mask, part.token_weight).loss / 2).backward()
    torch.optim.SGD([w for w in alone.parameters() if w.requires_grad], lr=0.1).step()
    wanted = dict(export_weights(alone.model))
    for name, weight in export_weights(policy.model, bucket_bytes=20_000):
        torch.testing.assert_close(weight, wanted[name], atol=1e-5, rtol=1e-5, msg=name)

    policy.save_pretrained(saved)
    dist.barrier()
    again = Policy.from_pretrained(saved, dtype="float32")
    for name, weight in export_weights(again.model):
        torch.testing.assert_close(weight, wanted[name], atol=1e-5, rtol=1e-5, msg=name)
    dist.barrier()


def main(folder: Path) -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    compile_nothing()
    deepspeed.init_distributed("gloo")
    for tied in (False, True):
        start = folder / f"tied_{tied}"
        if dist.get_rank() == 0:
            save_folder(start, tied=tied)
        dist.barrier()
        for number, settings in enumerate(VARIANTS):
            check(start, folder / f"saved_{tied}_{number}", settings)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
