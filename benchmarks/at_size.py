"""Phases at the size of a released model, on one GPU, without its weights: what a full scale takes
of memory and time, and how far a bfloat16 engine is from the trainer.

    python benchmarks/at_size.py qwen3_vl_4b [key=value ...]

Weights are random, in the shape of the released checkpoint but for its vocabulary, which is the
tiny one's. What such a policy says is noise of full length, so a rollout is one turn on a picture
of 2.8 million pixels, and the reward reads the ids. The rest of `scale=...` is as it is, with four
prompts of four rollouts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from vigorl.build import ASSETS, CONFIGS
from vigorl.core.protocols import Progress
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.train import train

# text: width, inner width, layers, heads, key heads; tower: width, inner width, layers, heads
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "qwen3_vl_4b": (
        "tiny_qwen3_start",
        {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
        {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24, "num_heads": 16,
         "out_hidden_size": 2560, "deepstack_visual_indexes": [5, 11, 17],
         "num_position_embeddings": 2304},
    ),
    "qwen2_5_vl_3b": (
        "tiny_start",
        {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
         "num_attention_heads": 16, "num_key_value_heads": 2},
        {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16,
         "out_hidden_size": 2048, "fullatt_block_indexes": [7, 15, 23, 31], "window_size": 112},
    ),
    "qwen2_5_vl_7b": (
        "tiny_start",
        {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
         "num_attention_heads": 28, "num_key_value_heads": 4},
        {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16,
         "out_hidden_size": 3584, "fullatt_block_indexes": [7, 15, 23, 31], "window_size": 112},
    ),
}  # fmt: skip
SMALL = [
    "reward._target_=at_size.IdReward", "engine=hf", "engine.max_batch_size=16", "logger=none",
    "strategy=auto", "trainer.devices=1",
    "data.scene.side_px=1792", "data.num_train=16", "data.num_val=2", "data.num_test=2",
    "plan.prompts_per_phase=4", "plan.group_size=4", "plan.sequences_per_update=16",
    "num_phases=2", "rollout.eval_every=100", "rollout.alignment.every=1",
    "limits.max_new_tokens=256",
]  # fmt: skip


class IdReward:
    """From the ids that were sampled: unequal within a group whatever the policy."""

    def breakdowns(
        self, rollouts: Sequence[Rollout], *, progress: Progress
    ) -> list[RewardBreakdown]:
        return [self.breakdown(rollout) for rollout in rollouts]

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        ids = [i for turn in rollout.turns for i in turn.completion_ids]
        return RewardBreakdown(sum(i % 7 for i in ids) / (6 * len(ids)), {})


def make_folder(scale: str, folder: Path) -> Path:
    """A Hugging Face folder with random bfloat16 weights in a released model's shape."""
    start, text, tower = SHAPES[scale]
    config = AutoConfig.from_pretrained(ASSETS / start)
    fields = config.to_dict()
    fields["text_config"].pop("layer_types", None)
    fields["text_config"] |= text | {"max_position_embeddings": 32768}
    fields["text_config"]["rope_parameters"]["mrope_section"] = (
        [24, 20, 20] if "qwen3" in scale else [16, 24, 24]
    )
    fields["vision_config"] |= tower
    config = type(config)(**fields)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    print(f"{sum(w.numel() for w in model.parameters()) / 1e9:.2f} billion weights", flush=True)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(ASSETS / start).save_pretrained(folder)
    AutoImageProcessor.from_pretrained(ASSETS / start, backend="pil").save_pretrained(folder)
    return folder


def main(scale: str, *overrides: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = make_folder(scale, Path(home) / "random")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        words = [f"scale={scale}", f"model.path={folder}", f"paths.root={home}", *SMALL, *overrides]
        with initialize_config_dir(CONFIGS, version_base="1.3"):
            cfg = compose("train", words)
        started = time.perf_counter()
        metrics = train(cfg)
        print(f"{time.perf_counter() - started:.0f} s in all, loading and saving included")
    for name, value in sorted(metrics.items()):
        print(f"{name:32} {value:.4g}")
    if torch.cuda.is_available():
        print(f"{'peak memory, GiB':32} {torch.cuda.max_memory_allocated() / 2**30:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
