"""Generation with transformers in this process: slow at scale, true, the tiny scale's default.

A poll takes up to `max_batch_size` queued requests, whatever turn they are on, and samples them to
their ends; or, with `refill`, until a part of them has ended, whose places queued requests take
while the others go on (continuous batching):

    1. requests with the same prompt (the rollouts of a group) become one row, whose keys and
       values are repeated afterwards;
    2. a row whose beginning is a turn that this engine sampled since the last publish reads only
       what came after it (where all layers have keys and values: a state that comes before padding
       would take it in);
    3. one forward pass over what is left to read, then one per token; rows that are done leave
       once they are half of the batch.

Left out: paged attention, one model over several devices. vLLM has them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from vigorl.core.entropy_control import EntropyControl
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.media import ImageView
from vigorl.core.memory import KEPT_TURNS_BYTES
from vigorl.core.protocols import Completion, GenerationRequest, PromptReading
from vigorl.data.encoding import ChatCodec, expand_image_pads
from vigorl.data.images import ImageStore
from vigorl.families.loading import load_model
from vigorl.families.lookup import check_runs, family_named
from vigorl.rollout.engines.hf_batch import Row, RunningBatch
from vigorl.rollout.engines.hf_features import FeatureCache
from vigorl.rollout.engines.in_flight import InFlight
from vigorl.rollout.engines.kv_cache import (
    GROWTH_SLOTS,
    BatchKV,
    BatchStates,
    PrefixCache,
    PrefixKV,
)
from vigorl.rollout.engines.sampling import Sampler

REFILL_SHARE = 8  # places are filled once one in so many is free: reading prompts stops the others


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
        prefix_cache_tokens: Tokens of finished turns whose keys and values are kept; None: as many
            as a GiB holds. 0 for single-turn work, and whatever is given for models with linear
            attention. The first turns of all dialogs are sampled before any second one, so where
            not all of them are kept, each is gone before it is needed.
        feature_cache_tokens: Picture tokens whose features are kept until the next publish.
        refill: A queued request takes the place of one that has ended; else it waits for the whole
            batch. Results are the same but for rounding.
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
        prefix_cache_tokens: int | None = None,
        feature_cache_tokens: int = 65536,
        refill: bool = False,
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
        kept = prefix_cache_tokens
        if kept is None:
            kept = KEPT_TURNS_BYTES // (math.prod(self._kv_shape(1, 1)) * dtype.itemsize)
        kept = 0 if self._state_layers else kept
        self._prefixes = PrefixCache(max_tokens=kept, image_id=codec.image_id)
        self._features = FeatureCache(
            self._model, self._family, images, max_tokens=feature_cache_tokens
        )
        self._refills = refill
        self._running: RunningBatch | None = None
        self._admitted: dict[str, Row] = {}  # by request id, in order of submission

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

    @property
    def features(self) -> Mapping[str, Float[Tensor, "_ width"]]:
        return self._features.by_key

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request.

        Raises:
            EngineError: Its id is in flight already, or it has not one picture per placeholder.
        """
        self._check(request)
        self._in_flight[request.id] = request

    @torch.inference_mode()
    def poll(self) -> list[Completion]:
        try:
            self._admit()
            self._advance()
        except RuntimeError as error:
            num = len(self._admitted)
            self._forget()
            raise EngineError(f"generation of {num} requests failed: {error}") from error
        done = [row.completion for row in self._admitted.values() if row.is_done]
        self.cancel(completion.request_id for completion in done)
        self._features.trim()
        return done

    def cancel(self, request_ids: Iterable[str]) -> None:
        for request_id in list(request_ids):
            super().cancel([request_id])
            row = self._admitted.pop(request_id, None)
            if row is not None:
                row.is_ended = True

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

        Requests in flight start their turns anew.

        Raises:
            EngineError: A name is unknown or missing, or a shape differs; the weights are then in
                an undefined state.
        """
        started, num_bytes = time.perf_counter(), 0
        self._forget()
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

    def _forget(self) -> None:
        """Every row that is sampled; the requests are queued again."""
        self._running = None
        self._admitted.clear()

    def _admit(self) -> None:
        """Read the prompts of queued requests, as many as there are places."""
        running = self._running
        if running is not None and len(running.left) < len(running.rows):  # those given up
            running.keep(running.left)
        num_running = 0 if running is None else len(running.rows)
        queued = [one for one in self._in_flight.values() if one.id not in self._admitted]
        num_free = self._max_batch_size - num_running
        if not queued or num_free < 1:
            return
        admitted, waiting = queued[:num_free], queued[num_free:]
        new = self._read_prompts(admitted, waiting=waiting if self._refills else ())
        self._admitted |= {row.request.id: row for row in new.rows}
        if running is not None and running.rows:
            running.join(new)
        else:
            self._running = new

    def _read_prompts(
        self, batch: list[GenerationRequest], *, waiting: Sequence[GenerationRequest]
    ) -> RunningBatch:
        """`waiting` follow later; what they share with the batch is kept for them."""
        keys = [(request.prompt_ids, request.views) for request in batch]
        unique = list(dict.fromkeys(keys))
        prompts = [self._prepare(ids, views) for ids, views in unique]
        self._features.encode(view for prompt in prompts for view in prompt.views)
        hidden, cache, positions = self._prefill(prompts)
        if self._prefixes.is_enabled:
            again = {(request.prompt_ids, request.views) for request in waiting}
            for i, (ids, views) in enumerate(unique):
                if (ids, views) in again:  # without its last token, which must be read for logits
                    self._prefixes.put(ids[:-1], views, cache.extract(i)[..., :-1, :])
        if len(unique) < len(keys):
            index_of = {key: i for i, key in enumerate(unique)}
            source = torch.tensor([index_of[key] for key in keys], device=self.device)
            cache.select(source)
            hidden, positions = hidden[source], positions[source]
        return RunningBatch.start(
            batch,
            logits=self._model.lm_head(hidden),
            positions=positions,
            cache=cache,
            sampler=Sampler(
                [request.sampling for request in batch],
                banned=self._banned,
                entropy=self.entropy_control,
            ),
        )

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
        shape = self._kv_shape(num_rows, num_known + num_read + GROWTH_SLOTS)
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

    def _kv_shape(self, num_rows: int, capacity: int) -> tuple[int, int, int, int, int, int]:
        """Of a `BatchKV`."""
        config = self._model.config.get_text_config()
        heads, dim = config.num_key_value_heads, self._family.head_dim(self._model.config)
        layers = config.num_hidden_layers - len(self._state_layers)
        return layers, 2, num_rows, heads, capacity, dim

    def _advance(self) -> None:
        """Sample until no row is left, or, where places are filled again, until some have left."""
        running = self._running
        while running is not None and running.rows:
            num_before = len(running.rows)
            self._step(running)
            if self._refills and len(running.rows) < num_before:
                return
        self._running = None

    def _step(self, running: RunningBatch) -> None:
        """One token for every row; those that are done leave once they are enough."""
        tokens, logprobs = running.sample()
        self._record(running, tokens.tolist(), logprobs.tolist())
        left = running.left
        num_done = len(running.rows) - len(left)
        is_enough = 2 * num_done >= len(running.rows)
        if self._refills:
            is_enough |= REFILL_SHARE * num_done >= self._max_batch_size
        if not left:
            running.rows = []
            return
        if num_done and is_enough:
            tokens = tokens[running.keep(left)]
        at, mask = running.positions.expand(3, -1)[..., None], running.cache.step_mask()
        embeds = self._language.embed_tokens(tokens)[:, None]
        running.logits = self._model.lm_head(self._forward(embeds, at, mask, running.cache))
        running.positions = running.positions + 1

    def _record(self, running: RunningBatch, tokens: list[int], logprobs: list[float]) -> None:
        for i, row in enumerate(running.rows):
            if row.is_done:
                continue
            row.token_ids.append(tokens[i])
            row.logprobs.append(logprobs[i])
            if self.on_token is not None:
                self.on_token(row.request.id, tokens[i])
            row.is_ended = tokens[i] in self._codec.end_ids
            if row.is_done and self._prefixes.is_enabled:
                read = (*row.request.prompt_ids, *row.token_ids[:-1])  # the last was never fed
                self._prefixes.put(read, row.request.views, running.cache.extract(i))

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
        features = self._features.of(views)
        return self._family.merge(embeds, ids == self._codec.image_id, features)
