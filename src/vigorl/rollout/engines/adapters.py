"""Adapters on their way to vLLM, which takes them as a folder that peft would write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from vigorl.core.errors import EngineError


def write_adapters(adapters: Iterable[tuple[str, Tensor]], folder: Path) -> int:
    """Write what `models.weight_export.export_adapters` yields; the bytes of its tensors.

    Raises:
        EngineError: It yields nothing: the policy has no adapters.
    """
    on_host = {name: weight.detach().cpu().contiguous() for name, weight in adapters}
    if not on_host:
        raise EngineError(
            "the engine wants adapters and the policy has none: set model.lora, or leave out "
            "engine.adapter_rank (vllm) and engine.adapters_only (server)"
        )
    save_file(on_host, folder / "adapter_model.safetensors")
    (rank,) = {weight.shape[0] for name, weight in on_host.items() if ".lora_A." in name}
    modules = sorted({name.split(".")[-3] for name in on_host})  # MODULE.lora_A.weight
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return sum(weight.nbytes for weight in on_host.values())
