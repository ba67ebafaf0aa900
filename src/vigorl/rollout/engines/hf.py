"""Generation with transformers in this process: slow at scale, true, the tiny scale's default.

A poll takes up to `max_batch_size` queued requests, whatever turn they are on, and samples them to
their ends:

    1. requests with the same prompt (the rollouts of a group) become one row, whose keys and
       values are repeated afterwards;
    2. a row whose beginning is a turn that this engine sampled since the last publish reads only
       what came after it (where all layers have keys and values: a state that comes before padding
       would take it in);
    3. one forward pass over what is left to read, then one per token; rows that are done leave
       once they are half of the batch.

Left out: continuous batching (a request waits for the batch in progress), paged attention, one
model over several devices. vLLM has them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from vigorl.core.entropy_control import EntropyControl
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.media import ImageView
from vigorl.core.protocols import Completion, GenerationRequest, PromptReading
from vigorl.data.encoding import ChatCodec, expand_image_pads
from vigorl.data.images import ImageStore
from vigorl.families.loading import load_model
from vigorl.families.lookup import check_runs, family_named
from vigorl.rollout.engines.in_flight import InFlight
from vigorl.rollout.engines.kv_cache import (
    GROWTH_SLOTS,
    BatchKV,
    BatchStates,
    PrefixCache,
    PrefixKV,
)
from vigorl.rollout.engines.sampling import Sampler, uniforms

ENCODE_TOKENS = 8192  # picture tokens that go through the vision tower at once


@dataclass(slots=True)
class _Prompt:
    """One distinct prompt of a batch: what is known of it, and what is left to read."""

    ids: list[int]  # [read] expanded, without the known part
    views: tuple[ImageView, ...]  # of the part to read
    positions: Int[Tensor, "3 read"]
    known: PrefixKV | None

    @property
    def num_known(self) -> int:
        return 0 if self.known is None else self.known.shape[3]


@dataclass(slots=True)
class _Row:
    """One request while it is sampled."""

    request: GenerationRequest
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    is_ended: bool = False

    @property
    def is_done(self) -> bool:
        return self.is_ended or len(self.token_ids) >= self.request.sampling.max_new_tokens


class HFEngine(InFlight[GenerationRequest]):
    """Samples turns with a transformers model.

    Args:
        model: With weights of its own (not the trainer's); moved to `device` and
            `dtype`.
        codec: Says which tokens end a turn, stand for a picture, pad, or are banned.
        images: Pixels of views.
        max_batch_size: Requests sampled together.
        device: Where.
        dtype: Of weights and activations; logprobs are float32 whatever it is.
        prefix_cache_tokens: Tokens of finished turns whose keys and values are kept; 0 for
            single-turn work, and whatever is given for models with linear attention.
        feature_cache_tokens: Picture tokens whose features are kept until the next publish.
    Attributes:
        on_token: As `StreamingEngine` says.
        entropy_control: As `EntropyControlled` says.
    Raises:
        ConfigError: The engine cannot run the model's family; the model uses sliding-window
            attention, or an attention kernel that takes no additive mask.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        codec: ChatCodec,
        images: ImageStore,
        *,
        max_batch_size: int = 128,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        prefix_cache_tokens: int = 32768,
        feature_cache_tokens: int = 65536,
    ) -> None:
        if max_batch_size < 1:
            raise ConfigError(f"max_batch_size must be at least 1, got {max_batch_size}")
        self._family = family_named(model.config.model_type, where=type(model).__name__)
        check_runs(self._family, engine="hf")
        if self._family.is_sliding(model):
            raise ConfigError("the hf engine does not do sliding-window attention")
        kernel = model.config.get_text_config()._attn_implementation
        if kernel not in ("sdpa", "eager"):
            raise ConfigError(
                f"the hf engine needs attn_implementation sdpa or eager, not {kernel}"
            )
        super().__init__(image_id=codec.image_id)
        module: Any = model  # transformers wraps `to` in a decorator that hides its signature
        self._model: Any = module.to(device=device).eval().requires_grad_(False)
        for weight in self._model.parameters():
            weight.data = weight.data.to(dtype)  # not the buffers: rotary frequencies stay float32
        self.device, self.dtype = self._model.device, dtype  # of its weights
        self._language: Any = self._family.language_model(self._model)
        self._codec, self._images, self._max_batch_size = codec, images, max_batch_size
        self.on_token: Callable[[str, int], None] | None = None
        self.entropy_control: EntropyControl | None = None
        self._banned = torch.zeros(
            self._model.lm_head.out_features, dtype=torch.bool, device=self.device
        )
        self._banned[list(codec.banned_ids)] = True
        self._state_layers = self._family.linear_attention(model.config).layers
        kept = 0 if self._state_layers else prefix_cache_tokens
        self._prefixes = PrefixCache(max_tokens=kept, image_id=codec.image_id)
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self._max_feature_tokens = feature_cache_tokens

    @classmethod
    def from_pretrained(
        cls,
        *,
        folder: str,
        codec: ChatCodec,
        images: ImageStore,
        dtype: str = "float32",
        attn_implementation: str = "sdpa",
        **settings: Any,
    ) -> Self:
        """An engine with the weights of a model folder; `settings` are those of the class."""
        torch_dtype = getattr(torch, dtype)
        model = load_model(folder, dtype=torch_dtype, attn_implementation=attn_implementation)
        return cls(model, codec, images, dtype=torch_dtype, **settings)

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request.

        Raises:
            EngineError: Its id is in flight already, or it has not one picture per placeholder.
        """
        self._check(request)
        self._in_flight[request.id] = request

    @torch.inference_mode()
    def poll(self) -> list[Completion]:
        batch = list(self._in_flight.values())[: self._max_batch_size]
        if not batch:
            return []
        try:
            rows = self._generate(batch)
        except RuntimeError as error:
            raise EngineError(f"generation of {len(batch)} requests failed: {error}") from error
        self.cancel(request.id for request in batch)
        self._trim_features()
        return [
            Completion(
                row.request.id, tuple(row.token_ids), tuple(row.logprobs), is_finished=row.is_ended
            )
            for row in rows
        ]

    def read(self, request: GenerationRequest) -> PromptReading:
        """As a request of its own, without what is cached of it."""
        counts = tuple(self._images.num_tokens(view) for view in request.views)
        ids = expand_image_pads(request.prompt_ids, counts, image_id=self._codec.image_id)
        positions = self._positions(ids, request.views).tolist()
        return PromptReading(tuple(ids), counts, tuple(tuple(axis) for axis in positions))

    @torch.no_grad()
    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        """Copy weights in place by the names they have in the model's Hugging Face folder; a tied
        one may be left out.

        Raises:
            EngineError: A name is unknown or missing, or a shape differs; the weights are then in
                an undefined state.
        """
        started, num_bytes = time.perf_counter(), 0
        own = revert_weight_conversion(self._model, dict(self._model.state_dict()))
        loaded: set[int] = set()
        for name, tensor in weights:
            if name not in own:
                raise EngineError(f"published weight {name} is not one of the engine's")
            if own[name].shape != tensor.shape:
                shapes = f"{tuple(tensor.shape)}, not {tuple(own[name].shape)}"
                raise EngineError(f"published weight {name} is {shapes}")
            own[name].copy_(tensor)
            loaded.add(own[name].data_ptr())
            num_bytes += tensor.nbytes
        missing = [name for name, tensor in own.items() if tensor.data_ptr() not in loaded]
        if missing:
            raise EngineError(f"{len(missing)} weights were not published, such as {missing[0]}")
        self._prefixes.clear()
        self._features.clear()
        self._published(num_bytes, since=started, version=version)

    def _generate(self, batch: list[GenerationRequest]) -> list[_Row]:
        keys = [(request.prompt_ids, request.views) for request in batch]
        unique = list(dict.fromkeys(keys))
        prompts = [self._prepare(ids, views) for ids, views in unique]
        self._encode(view for prompt in prompts for view in prompt.views)
        hidden, cache, positions = self._prefill(prompts)
        if len(unique) < len(keys):
            index_of = {key: i for i, key in enumerate(unique)}
            source = torch.tensor([index_of[key] for key in keys], device=self.device)
            cache.select(source)
            hidden, positions = hidden[source], positions[source]
        rows = [_Row(request) for request in batch]
        self._decode(rows, self._model.lm_head(hidden), cache, positions)
        return rows

    def _prepare(self, ids: tuple[int, ...], views: tuple[ImageView, ...]) -> _Prompt:
        found = self._prefixes.longest(ids, views)
        known, num_known_views = found or (None, 0)
        counts = [self._images.num_tokens(view) for view in views]
        expanded = list(expand_image_pads(ids, counts, image_id=self._codec.image_id))
        positions = self._positions(expanded, views)
        num_known = 0 if known is None else known.shape[3]
        return _Prompt(
            expanded[num_known:], views[num_known_views:], positions[:, num_known:], known
        )

    def _positions(self, ids: Sequence[int], views: Sequence[ImageView]) -> Int[Tensor, "3 tokens"]:
        grids = torch.tensor([self._images.grid_thw(view) for view in views])
        return self._family.positions(self._model, torch.tensor([ids]), grids)[:, 0]

    def _prefill(
        self, prompts: list[_Prompt]
    ) -> tuple[Float[Tensor, "prompts hidden"], BatchKV, Int[Tensor, " prompts"]]:
        """Read all prompts: last hidden states, the cache, and the positions that follow."""
        num_rows = len(prompts)
        num_known = max(prompt.num_known for prompt in prompts)
        num_read = max(len(prompt.ids) for prompt in prompts)
        config = self._model.config.get_text_config()
        heads, dim = config.num_key_value_heads, self._family.head_dim(self._model.config)
        capacity = num_known + num_read + GROWTH_SLOTS
        layers = config.num_hidden_layers - len(self._state_layers)
        shape = (layers, 2, num_rows, heads, capacity, dim)
        cache = BatchKV.empty(shape, length=num_known, dtype=self.dtype, device=self.device)
        if self._state_layers:
            cache = BatchStates.of(cache, state_layers=self._state_layers)
        ids = torch.full((num_rows, num_read), self._codec.pad_id)
        positions = torch.zeros(3, num_rows, num_read, dtype=torch.long)
        for i, prompt in enumerate(prompts):  # both parts are padded on the left
            ids[i, num_read - len(prompt.ids) :] = torch.tensor(prompt.ids)
            positions[:, i, num_read - len(prompt.ids) :] = prompt.positions
            cache.start(i, prompt.known, num_pads=num_read - len(prompt.ids))
        views = [view for prompt in prompts for view in prompt.views]
        embeds, extra = self._embed(ids.to(self.device), views)
        mask = cache.reading_mask(num_read)
        hidden = self._forward(embeds, positions.to(self.device), mask, cache, **extra)
        following = torch.stack([prompt.positions.max() + 1 for prompt in prompts])
        return hidden, cache, following.to(self.device)

    def _decode(
        self,
        rows: list[_Row],
        logits: Float[Tensor, "rows vocab"],
        cache: BatchKV,
        positions: Int[Tensor, " rows"],
    ) -> None:
        """Sample until every row is done; `logits` are those of the first token."""
        num_steps = max(row.request.sampling.max_new_tokens for row in rows)
        params = [row.request.sampling for row in rows]
        sampler = Sampler(params, banned=self._banned, entropy=self.entropy_control)
        noise = torch.stack([uniforms(row.request.seed, num_steps) for row in rows])
        noise, embed = noise.to(self.device), self._language.embed_tokens
        active = list(rows)
        for step in range(num_steps):
            tokens, logprobs = sampler.sample(logits, noise[:, step])
            self._record(active, tokens.tolist(), logprobs.tolist(), cache)
            left = [i for i, row in enumerate(active) if not row.is_done]
            if not left:
                return
            if 2 * len(left) <= len(active):
                kept = torch.tensor(left, device=self.device)
                active = [active[i] for i in left]
                tokens, noise, positions = tokens[kept], noise[kept], positions[kept]
                cache.select(kept)
                sampler.select(kept)
            at, mask = positions.expand(3, -1)[..., None], cache.step_mask()
            logits = self._model.lm_head(self._forward(embed(tokens)[:, None], at, mask, cache))
            positions = positions + 1

    def _record(
        self, active: list[_Row], tokens: list[int], logprobs: list[float], cache: BatchKV
    ) -> None:
        for i, row in enumerate(active):
            if row.is_done:
                continue
            row.token_ids.append(tokens[i])
            row.logprobs.append(logprobs[i])
            if self.on_token is not None:
                self.on_token(row.request.id, tokens[i])
            row.is_ended = tokens[i] in self._codec.end_ids
            if row.is_done and self._prefixes.is_enabled:
                read = (*row.request.prompt_ids, *row.token_ids[:-1])  # the last was never fed
                self._prefixes.put(read, row.request.views, cache.extract(i))

    def _forward(
        self,
        embeds: Float[Tensor, "rows tokens hidden"],
        positions: Int[Tensor, "3 rows tokens"],
        mask: Any,
        cache: BatchKV,
        **extra: Any,
    ) -> Float[Tensor, "rows hidden"]:
        out = self._language(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=self._family.position_ids(positions),
            past_key_values=cache,
            use_cache=True,
            **extra,
        )
        cache.advance(embeds.shape[1])
        return out.last_hidden_state[:, -1]

    def _embed(
        self, ids: Int[Tensor, "rows tokens"], views: list[ImageView]
    ) -> tuple[Float[Tensor, "rows tokens hidden"], dict[str, Any]]:
        """Text and pictures, and what else the language model takes of the pictures."""
        embeds = self._language.embed_tokens(ids)
        if not views:
            return embeds, {}
        features = torch.cat([self._features[view.key] for view in views])
        return self._family.merge(embeds, ids == self._codec.image_id, features)

    def _encode(self, views: Iterable[ImageView]) -> None:
        """Make sure that the features of these views are cached."""
        missing: list[ImageView] = []
        num_tokens = 0
        for view in dict.fromkeys(views):
            if view.key in self._features:
                self._features.move_to_end(view.key)
                continue
            missing.append(view)
            num_tokens += self._images.num_tokens(view)
            if num_tokens >= ENCODE_TOKENS:
                self._run_tower(missing)
                missing, num_tokens = [], 0
        if missing:
            self._run_tower(missing)

    def _run_tower(self, views: list[ImageView]) -> None:
        blocks = [self._images.pixels(view) for view in views]
        pixels = torch.cat([block.pixel_values for block in blocks]).to(self.device)
        grids = torch.tensor([block.grid_thw for block in blocks], device=self.device)
        features = self._family.encode(self._model, pixels, grids)
        self._features.update(zip([view.key for view in views], features, strict=True))

    def _trim_features(self) -> None:
        num_tokens = sum(len(features) for features in self._features.values())
        while num_tokens > self._max_feature_tokens:
            num_tokens -= len(self._features.popitem(last=False)[1])
