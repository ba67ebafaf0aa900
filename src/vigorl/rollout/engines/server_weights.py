"""How new weights reach servers: through shared memory here, by GPU in `server_nccl.py`.

A publish is versioned by a label that no other publish has. A server that has loaded the weights is
given the label, and stamps every completion with it, so that one sampled by a server that restarted
(and has the old weights again), or was fed by another run, is recognised and thrown away.

The shards of the last publish stay in shared memory until the next one: a server that comes back in
the middle of a phase loads them before it gets another request.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import save_file
from torch import Tensor

from vigorl.core.errors import EngineError
from vigorl.core.protocols import PublishStats
from vigorl.ranks import from_all_ranks, own_rank
from vigorl.rollout.engines.adapters import write_adapters
from vigorl.rollout.engines.server_pool import HttpClient, ServerPool, TransientError

START_LABEL = "default"  # of weights that a server has loaded by itself
LABEL_PREFIX = "vigorl-"  # of weights that were published
FOLDER_PREFIX = "vigorl-weights-"


class WeightTransfer:
    """One way of bringing weights to all servers; this one brings none, for teachers and judging.

    Args:
        http: To the servers.
    Attributes:
        label: Name of the weights that every completion must come from.
        takes_adapters: The adapters alone are sent, to servers that hold the base.
    """

    takes_adapters = False

    def __init__(self, http: HttpClient) -> None:
        self.label, self._http = START_LABEL, http

    @property
    def model(self) -> str | None:
        """What requests must ask for; None: what the server was started with."""
        return None

    def publish(
        self, weights: Iterable[tuple[str, Tensor]], pool: ServerPool, *, version: int
    ) -> PublishStats:
        """Bring new weights to every server that is up; called by all ranks together.

        Raises:
            EngineError: No server has them.
        """
        raise EngineError(
            "engine.transfer=none: these servers take no weights, so a policy cannot be trained "
            "with them; set engine.transfer=shared_memory, nccl or ipc"
        )

    def bring_up_to_date(self, url: str) -> None:
        """Make a server that was down have the weights of the last publish.

        Raises:
            TransientError: It cannot have them now.
            EngineError: It refused them.
        """

    def close(self) -> None:
        """Let go of what the last publish has left."""

    def _label_of(self, url: str) -> str:
        return self._http.call(f"{url}/weight_info", method="GET", timeout_s=30)["weight_version"]


def new_label(version: int) -> str:
    """A name for weights that no other publish of any run has."""
    return f"{LABEL_PREFIX}{version}-{uuid.uuid4().hex[:12]}"


class SharedMemoryTransfer(WeightTransfer):
    """Weights as a sharded checkpoint in shared memory, loaded by `reload_weights` of the workers.

    Rank 0 writes; the servers run on its host. The folder goes when the engine does, and one that a
    killed run has left behind goes at the next publish of any run.

    Args:
        http: To the servers, which run with VLLM_SERVER_DEV_MODE=1.
        dtype: In which weights are sent: the one that servers compute in.
        bucket_bytes: Most bytes of a shard, a single larger weight excepted.
        folder: Where; a file system in memory.
        timeout_s: For a server to load.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        dtype: torch.dtype,
        bucket_bytes: int = 1 << 30,
        folder: str = "/dev/shm",
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(http)
        self._dtype, self._bucket_bytes = dtype, bucket_bytes
        self._root, self._timeout_s = Path(folder), timeout_s
        self._shards: Path | None = None
        self._owner: FileLock | None = None  # held: says that the folder is in use

    def publish(
        self, weights: Iterable[tuple[str, Tensor]], pool: ServerPool, *, version: int
    ) -> PublishStats:
        from_all_ranks(None)  # waited for: no rank generates any more
        started, stats, failure = time.perf_counter(), None, None
        if own_rank() == 0:
            try:
                stats = self._send(weights, pool, version=version, started=started)
            except (OSError, EngineError) as error:
                failure = f"version {version} could not be published: {error}"
        for _ in weights:  # gathered by all ranks together, so to the end
            pass
        self.label, self._shards, stats, failure = from_all_ranks(
            (self.label, self._shards, stats, failure)
        )[0]
        if failure is not None or stats is None:
            raise EngineError(failure or "rank 0 published nothing")
        return stats

    def bring_up_to_date(self, url: str) -> None:
        label, shards = self.label, self._shards
        if label == START_LABEL or shards is None:
            if self._label_of(url) != START_LABEL:
                raise EngineError(f"{url} holds weights that another run has published; restart it")
            return
        if not shards.is_dir():
            raise TransientError("the published weights are not on this host")
        # other ranks see the same server come back
        with FileLock(shards / f"{uuid.uuid5(uuid.NAMESPACE_URL, url)}.lock"):
            if self._label_of(url) != label:
                self._load(url, shards, label)

    def close(self) -> None:
        if self._owner is not None:
            self._release()
            self._owner = None

    def _send(
        self,
        weights: Iterable[tuple[str, Tensor]],
        pool: ServerPool,
        *,
        version: int,
        started: float,
    ) -> PublishStats:
        self.close()  # before the new ones: memory for one copy is enough
        remove_abandoned(self._root)
        shards = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=self._root))
        self._owner = FileLock(shards / "owner.lock", thread_local=False)
        self._owner.acquire()
        self._release = weakref.finalize(self, shutil.rmtree, shards, ignore_errors=True)
        num_bytes = self._write(weights, shards)
        self._shards, self.label = shards, new_label(version)
        urls = pool.up_urls
        with ThreadPoolExecutor(max(len(urls), 1)) as threads:
            problems = list(threads.map(self._try_load, urls))
        for url, problem in zip(urls, problems, strict=True):
            if problem is not None:
                pool.mark_down(url, problem)
        if None not in problems:
            raise EngineError("no server took the weights: " + "; ".join(filter(None, problems)))
        return PublishStats(num_bytes, time.perf_counter() - started, version)

    def _try_load(self, url: str) -> str | None:
        """What is wrong with a server that is to have the weights; None when it has them."""
        try:
            self.bring_up_to_date(url)
        except TransientError as error:
            return f"{url}: {error}"
        return None

    def _write(self, weights: Iterable[tuple[str, Tensor]], folder: Path) -> int:
        return write_shards(weights, folder, dtype=self._dtype, bucket_bytes=self._bucket_bytes)

    def _load(self, url: str, shards: Path, label: str) -> None:
        reload_weights = {"method": "reload_weights", "kwargs": {"weights_path": str(shards)}}
        self._http.call(f"{url}/collective_rpc", reload_weights, timeout_s=self._timeout_s)
        finish_load(self._http, url, label)


class AdapterTransfer(SharedMemoryTransfer):
    """The adapters alone, as a folder in shared memory; servers run with --enable-lora.

    Each publish is a model of its own to a server, so one that has only the old adapters, or none,
    refuses a request instead of answering it.
    """

    takes_adapters = True

    @property
    def model(self) -> str | None:
        return None if self.label == START_LABEL else self.label

    def _write(self, weights: Iterable[tuple[str, Tensor]], folder: Path) -> int:
        return write_adapters(weights, folder)

    def _load(self, url: str, shards: Path, label: str) -> None:
        served = self._http.call(f"{url}/v1/models", method="GET", timeout_s=30)["data"]
        for name in (one["id"] for one in served if one["id"].startswith(LABEL_PREFIX)):
            self._adapter_call(url, "unload", {"lora_name": name})
        self._adapter_call(url, "load", {"lora_name": label, "lora_path": str(shards)})
        finish_load(self._http, url, label)

    def _adapter_call(self, url: str, verb: str, body: dict[str, str]) -> None:
        route = f"{url}/v1/{verb}_lora_adapter"
        self._http.call(route, body, timeout_s=self._timeout_s, is_json=False)


def finish_load(http: HttpClient, url: str, label: str) -> None:
    """Drop every cache that holds work of a server's old weights, then give it its new label.

    Raises:
        TransientError: Requests that nobody waits for any more hold the prefix cache.
    """
    for _ in range(50):
        if http.call(f"{url}/reset_prefix_cache", timeout_s=30)["success"]:
            break
        time.sleep(0.1)  # aborted requests leave within a step
    else:
        raise TransientError("the prefix cache could not be dropped: requests are running")
    http.call(f"{url}/reset_mm_cache", timeout_s=30)
    http.call(f"{url}/reset_encoder_cache", timeout_s=30)
    http.call(f"{url}/update_weight_version", {"new_version": label}, timeout_s=30)


def write_shards(
    weights: Iterable[tuple[str, Tensor]], folder: Path, *, dtype: torch.dtype, bucket_bytes: int
) -> int:
    """Write weights as a sharded Hugging Face checkpoint; the bytes written.

    Never holds more than one shard besides what is written.
    """
    shard_of: dict[str, str] = {}
    total = 0
    cut = buckets(weights, device="cpu", dtype=dtype, bucket_bytes=bucket_bytes)
    for number, bucket in enumerate(cut):
        name = f"model-{number:05d}.safetensors"
        save_file({key: _alone(weight) for key, weight in bucket}, folder / name, {"format": "pt"})
        shard_of |= dict.fromkeys(dict(bucket), name)
        total += sum(tensor.nbytes for _, tensor in bucket)
    index = {"metadata": {"total_size": total}, "weight_map": shard_of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def buckets(
    weights: Iterable[tuple[str, Tensor]], *, device: str, dtype: torch.dtype, bucket_bytes: int
) -> Iterator[list[tuple[str, Tensor]]]:
    """Weights on a device, cast, as many at once as fit into `bucket_bytes`."""
    bucket: list[tuple[str, Tensor]] = []
    num_bytes = 0
    for name, weight in weights:
        tensor = weight.detach().to(device, dtype if weight.is_floating_point() else None)
        if bucket and num_bytes + tensor.nbytes > bucket_bytes:
            yield bucket
            bucket, num_bytes = [], 0
        bucket.append((name, tensor))
        num_bytes += tensor.nbytes
    if bucket:
        yield bucket


def _alone(weight: Tensor) -> Tensor:
    """In memory that nothing else is in, as safetensors wants it."""
    if weight.untyped_storage().nbytes() == weight.nbytes and weight.is_contiguous():
        return weight
    return weight.clone(memory_format=torch.contiguous_format)


def remove_abandoned(root: Path, *, older_than_s: float = 60.0) -> None:
    """Delete folders of weights whose owner has died: nobody holds their lock."""
    for folder in root.glob(f"{FOLDER_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < older_than_s:
                continue  # its owner may be about to lock it
            with FileLock(folder / "owner.lock", blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use, someone else's, or just gone
            continue
