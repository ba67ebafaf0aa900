"""Weights from GPU to GPU, through vLLM's own interface for trainers (`vllm.distributed`).

    nccl    servers on any host; they and rank 0 of the trainer form one NCCL group
    ipc     servers on the very GPUs that the trainer uses; both sides need
            VLLM_ALLOW_INSECURE_SERIALIZATION=1

A bucket at a time: between one `start_weight_update` and one `finish_weight_update`, each bucket is
one `send_weights` of vLLM's trainer engine, so no rank holds more than one.

Left out: bringing a restarted server up to date between two publishes. It is not in the group, and
the weights are gone; it stays unused until the next publish, which makes a new group with it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from vigorl.core.errors import EngineError
from vigorl.core.protocols import PublishStats
from vigorl.ranks import from_all_ranks, own_rank
from vigorl.rollout.engines.server_pool import HttpClient, ServerPool, TransientError
from vigorl.rollout.engines.server_weights import WeightTransfer, buckets, finish_load, new_label


class GPUTransfer(WeightTransfer):
    """Weights by NCCL or CUDA IPC; the servers run with VLLM_SERVER_DEV_MODE=1 and
    `--weight-transfer-config '{"backend": "nccl"}'` (or "ipc").

    Args:
        backend: "nccl" or "ipc".
        http: To the servers.
        dtype: In which weights are sent.
        bucket_bytes: Most bytes sent at once, a single larger weight excepted.
        address: Address of rank 0's host as the servers see it; None asks the host for it.
        timeout_s: For one call.
    """

    def __init__(
        self,
        backend: str,
        http: HttpClient,
        *,
        dtype: torch.dtype,
        bucket_bytes: int = 1 << 30,
        address: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(http)
        self._backend, self._dtype = backend, dtype
        self._bucket_bytes, self._timeout_s = bucket_bytes, timeout_s
        self._address = address or socket.gethostname()
        self._members: list[str] = []
        self._sender: Any = None
        self._client: FanOutClient | None = None
        self._bucket: list[tuple[str, Tensor]] = []

    def publish(
        self, weights: Iterable[tuple[str, Tensor]], pool: ServerPool, *, version: int
    ) -> PublishStats:
        from_all_ranks(None)  # waited for: no rank generates any more
        started, num_bytes = time.perf_counter(), 0
        survey = self._survey(pool) if own_rank() == 0 else ([], False)
        label, (live, is_same) = from_all_ranks((new_label(version), survey))[0]
        if not live:
            raise EngineError("no server is there to take the weights")
        if not is_same or self._sender is None:
            self._join(live)
        assert self._client is not None
        assert self._sender is not None
        if own_rank() == 0:
            self._client.each(lambda one: one.start_weight_update())
        cut = buckets(weights, device="cuda", dtype=self._dtype, bucket_bytes=self._bucket_bytes)
        for bucket in cut:
            self._bucket = bucket
            num_bytes += sum(tensor.nbytes for _, tensor in bucket)
            self._sender.send_weights()
        self._bucket = []
        if own_rank() == 0:
            self._client.each(lambda one: one.finish_weight_update())
            for url in live:
                finish_load(self._http, url, label)
        self.label, self._members = label, live
        from_all_ranks(None)  # waited for: the servers are ready
        return PublishStats(num_bytes, time.perf_counter() - started, version)

    def bring_up_to_date(self, url: str) -> None:
        if self._label_of(url) != self.label:
            raise TransientError("it has other weights than the last published ones, and waits")

    def close(self) -> None:
        if self._sender is not None:
            self._sender.shutdown()
            self._sender = None

    def _survey(self, pool: ServerPool) -> tuple[list[str], bool]:
        """The servers that answer, and whether they are those of the last publish, unrestarted."""
        labels: dict[str, str] = {}
        for url in pool.urls:
            try:
                labels[url] = self._label_of(url)
            except TransientError as error:
                pool.mark_down(url, str(error))
        is_same = list(labels) == self._members and set(labels.values()) == {self.label}
        return list(labels), is_same

    def _join(self, urls: list[str]) -> None:
        """Make the group of rank 0 and all workers of these servers."""
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory  # pyright: ignore[reportMissingImports]
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo  # pyright: ignore[reportMissingImports]
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo  # pyright: ignore[reportMissingImports]
        from vllm.utils.network_utils import get_open_port  # pyright: ignore[reportMissingImports]

        self.close()
        sizes = [self._http.call(f"{u}/get_world_size", method="GET")["world_size"] for u in urls]
        self._client = FanOutClient(urls, sizes, timeout_s=self._timeout_s)
        rank = own_rank()
        if self._members and rank == 0:
            self._client.each(lambda one: one.shutdown_weight_transfer_engine())
        if self._backend == "ipc":
            info: Any = IPCTrainerInitInfo(packed=True, rank=rank)
        else:
            info = NCCLTrainerInitInfo(
                self._address, get_open_port(), 1 + sum(sizes), rank=rank
            )  # fmt: skip
        client: Any = self._client  # vLLM asks for the methods, not for a class
        self._sender = WeightTransferTrainerFactory.trainer_init(
            info, client=client, source=_bucket_source(lambda: self._bucket)
        )


class FanOutClient:
    """vLLM's trainer talks to one server; this passes it on to several, all at the same time.

    Starting and finishing an update are left to the caller, because one update is several sends.

    Args:
        urls: Base URLs of the servers.
        sizes: Their numbers of workers, whose ranks follow each other in the group.
        timeout_s: For one call.
        make: What talks to one server; vLLM's `HTTPVLLMWeightSyncClient` when None.
    """

    def __init__(
        self,
        urls: list[str],
        sizes: list[int],
        *,
        timeout_s: float,
        make: Callable[..., Any] | None = None,
    ) -> None:
        if make is None:
            from vllm.distributed.weight_transfer import HTTPVLLMWeightSyncClient  # pyright: ignore[reportMissingImports]

            make = HTTPVLLMWeightSyncClient
        one: Any = make
        self._clients: list[Any] = [one(url, timeout=timeout_s) for url in urls]
        self._sizes = sizes

    def each(self, call: Callable[[Any], None]) -> None:
        """Call it for each server at once, and wait for all."""
        with ThreadPoolExecutor(len(self._clients)) as threads:
            list(threads.map(call, self._clients))

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        infos = [dict(init_info) for _ in self._clients]
        if "rank_offset" in init_info:
            for number, info in enumerate(infos):
                info["rank_offset"] = init_info["rank_offset"] + sum(self._sizes[:number])
        info_of = dict(zip(self._clients, infos, strict=True))
        self.each(lambda one: one.init_weight_transfer_engine(info_of[one]))

    def update_weights(self, update_info: Any) -> None:
        self.each(lambda one: one.update_weights(update_info))

    def start_weight_update(self) -> None:
        """Left to the caller."""

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Left to the caller."""


def _bucket_source(bucket: Callable[[], list[tuple[str, Tensor]]]) -> Any:
    """vLLM's view of the bucket that is being sent."""
    from vllm.distributed.weight_transfer import ParamMeta, WeightSource  # pyright: ignore[reportMissingImports]

    class BucketSource(WeightSource):
        def metadata(self) -> list[ParamMeta]:
            return [ParamMeta(name, t.dtype, tuple(t.shape)) for name, t in bucket()]

        def __iter__(self) -> Iterator[tuple[str, Tensor]]:
            return iter(bucket())

    return BucketSource()
