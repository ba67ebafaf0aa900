"""What combines with what: the cells of the table in docs/gpus.md, each a run of two processes that
ends where one process ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.combinations import WORK, run
from tests.integration.door import start_weights, weights

pytest.importorskip("deepspeed")
pytestmark = [pytest.mark.slow, pytest.mark.deepspeed]

SFT = [
    "experiment=sft_vstar", "stages=null", "data.num_traces=16", "max_epochs=1",
    "traces.sequences_per_update=8", "sft.gradient_clip=0.05", "+optimizer.eps=1e-5",
]  # fmt: skip
LORA = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"
WHAT: dict[str, list[str]] = {
    "plain": WORK,
    "lora": [*WORK, LORA, "optimizer.lr=3e-3"],
    "packing": [*WORK, "model.packing=true"],
    "tower": [*WORK, "model.freeze_vision_tower=false", "model.gradient_checkpointing=true"],
    "critic": [*(w for w in WORK if "kl_coef" not in w), "algorithm=ppo"],
    "sft": [*SFT],
}
HOW: dict[str, list[str]] = {
    "ddp": ["strategy=ddp"],
    "zero2": ["strategy=zero2"],
    "zero2_offload": ["strategy=zero2", "+strategy.offload_optimizer=true"],
    "zero3": ["strategy=zero3"],
    "zero3_offload": [
        "strategy=zero3", "+strategy.offload_optimizer=true", "+strategy.offload_parameters=true",
    ],
    "fsdp2": ["strategy=fsdp2"],
    "fsdp2_copies": ["strategy=fsdp2", "strategy.copies=2"],
}  # fmt: skip
