"""My own model family: a Qwen2.5-VL that was taught to write places as shares of the picture, with
three decimals. `plugins` imports it before anything is built; its config.json names it.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs \\
        experiment=sft_vstar scale=my_family

This makes a tiny one from nothing, which says nothing of use after so few epochs. A family that is
further from Qwen answers for itself all that `vigorl.families.family.Family` asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from vigorl.core.media import TextFrame
from vigorl.families.family import TinySettings
from vigorl.families.qwen_vl import Qwen25VL


class ShareVLConfig(Qwen2_5_VLConfig):
    model_type = "share_vl"


class ShareVLForConditionalGeneration(Qwen2_5_VLForConditionalGeneration):
    config_class: ClassVar = ShareVLConfig


@dataclass(frozen=True)
class ShareVL(Qwen25VL):
    """What differs from Qwen2.5-VL; vLLM would need a model class of its own."""

    name: str = "Share-VL"
    model_types: tuple[str, ...] = ("share_vl",)
    engines: tuple[str, ...] = ("hf",)
    frame: TextFrame = TextFrame.UNIT

    def tiny_config(self, settings: TinySettings, ids: dict[str, int], vocab_size: int) -> Any:
        fields = super().tiny_config(settings, ids, vocab_size).to_dict()
        del fields["model_type"]
        return ShareVLConfig(**fields)


AutoConfig.register("share_vl", ShareVLConfig)
AutoModelForImageTextToText.register(ShareVLConfig, ShareVLForConditionalGeneration)
FAMILIES = (ShareVL(),)
