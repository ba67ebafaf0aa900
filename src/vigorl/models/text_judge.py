"""How well a text fits a picture, by a model that embeds both (CLIP, SigLIP, FG-CLIP).

For rewards that take a `core.rewards.consistency.TextJudge`. The model is loaded at the first call,
and stays on its device beside the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModel, AutoProcessor

from vigorl.core.rollout import Rollout
from vigorl.data.images import open_image


@dataclass(frozen=True)  # no slots: the model is kept
class PictureTextJudge:
    """The cosine of the embeddings of a text and of the rollout's first picture, in [-1, 1].

    Attributes:
        path: Hub name or folder of a model with `get_text_features` and `get_image_features`.
        device: Where it computes, such as "cuda:0".
        max_tokens: Tokens of a text that are read; the rest is cut off. None: what the model takes.
    """

    path: str
    device: str = "cpu"
    max_tokens: int | None = None

    def __call__(self, text: str, rollout: Rollout) -> float:
        model, processor = self._loaded
        picture = open_image(rollout.prompt_views[0].path)
        inputs = processor(
            text=[text],
            images=[picture],
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=self.max_tokens or model.config.text_config.max_position_embeddings,
        ).to(self.device)
        pixels = {"pixel_values": inputs.pop("pixel_values")}
        with torch.inference_mode():
            said = _features(model.get_text_features(**inputs))
            shown = _features(model.get_image_features(**pixels))
        return float(torch.nn.functional.cosine_similarity(said, shown)[0])

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model = AutoModel.from_pretrained(self.path).eval().requires_grad_(False)
        return model.to(self.device), AutoProcessor.from_pretrained(self.path)


def _features(output: Any) -> torch.Tensor:
    """[1, width], of whatever form a model gives them in."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output
