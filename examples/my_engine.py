"""My own engine: transformers as it comes, one request after the other, no cache of anything. Slow,
and short enough to be read.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs engine=my_engine

Another inference server, or a closed one, is brought in the same way. tests/contract says what any
engine has to keep.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText

from vigorl.core.errors import EngineError
from vigorl.core.protocols import Completion, GenerationRequest, PublishStats
from vigorl.data.encoding import ChatCodec, expand_image_pads
from vigorl.data.images import ImageStore
from vigorl.models.weight_export import load_weights
from vigorl.rollout.engines.sampling import Sampler, uniforms


class PlainEngine:
    """One forward pass over the whole dialog for each token.

    Args:
        folder: Of the model.
        codec: Says which token ends a turn, stands for a picture, or is banned.
        images: Pixels of views.
        dtype: Of the weights.
        attn_implementation: As transformers names it.
    """

    takes_adapters = False
    ranks_per_engine = 1

    def __init__(
        self,
        *,
        folder: str,
        codec: ChatCodec,
        images: ImageStore,
        dtype: str = "float32",
        attn_implementation: str = "sdpa",
    ) -> None:
        self._model: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation=attn_implementation
        )
        self._codec, self._images = codec, images
        self._banned = torch.zeros(self._model.lm_head.out_features, dtype=torch.bool)
        self._banned[list(codec.banned_ids)] = True
        self._waiting: dict[str, GenerationRequest] = {}
        self.policy_version = 0
        self.last_publish: PublishStats | None = None

    @property
    def num_in_flight(self) -> int:
        return len(self._waiting)

    def submit(self, request: GenerationRequest) -> None:
        if request.id in self._waiting:
            raise EngineError(f"request {request.id} is already in flight")
        self._waiting[request.id] = request

    def poll(self) -> list[Completion]:
        if not self._waiting:
            return []
        return [self._complete(self._waiting.pop(next(iter(self._waiting))))]

    def cancel(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self._waiting.pop(request_id, None)

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        started = time.perf_counter()
        load_weights(self._model, weights)
        num_bytes = sum(weight.nbytes for weight in self._model.parameters())
        self.policy_version = version
        self.last_publish = PublishStats(num_bytes, time.perf_counter() - started, version)

    def sleep(self) -> None:
        """Nothing: there is no memory to give back."""

    @torch.inference_mode()
    def _complete(self, request: GenerationRequest) -> Completion:
        counts = [self._images.num_tokens(view) for view in request.views]
        prompt = expand_image_pads(request.prompt_ids, counts, image_id=self._codec.image_id)
        blocks = [self._images.pixels(view) for view in request.views]
        pixels = torch.cat([block.pixel_values for block in blocks])
        grids = torch.tensor([block.grid_thw for block in blocks])
        sampler = Sampler([request.sampling], banned=self._banned)
        ids: list[int] = []
        logprobs: list[float] = []
        for noise in uniforms(request.seed, request.sampling.max_new_tokens):
            logits = self._next_logits([*prompt, *ids], pixels, grids)
            token, logprob = sampler.sample(logits, noise[None])
            ids.append(int(token))
            logprobs.append(float(logprob))
            if ids[-1] == self._codec.end_id:
                break
        is_finished = ids[-1] == self._codec.end_id
        return Completion(request.id, tuple(ids), tuple(logprobs), is_finished)

    def _next_logits(self, ids: list[int], pixels: Tensor, grids: Tensor) -> Tensor:
        """[1, vocabulary]"""
        tokens = torch.tensor([ids])
        return self._model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=(tokens == self._codec.image_id).int(),
            pixel_values=pixels.to(self._model.dtype),
            image_grid_thw=grids,
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]
