"""One of two ranks of `test_one_rank_publishes_for_all`: folder, the end token, the servers'
URLs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from vigorl.core.errors import EngineError
from vigorl.core.protocols import GenerationRequest, SamplingParams
from vigorl.rollout.engines.server import ServerEngine


@dataclass(frozen=True)
class Codec:
    """What the engine asks of a codec, for prompts without pictures."""

    end_ids: tuple[int, ...]
    image_id: int = -1
    banned_ids: tuple[int, ...] = ()

    def processor_ids(self, ids: Sequence[int]) -> list[int]:
        return list(ids)


def gathered(num_given: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights that, as under ZeRO-3, only come when all ranks ask for them."""
    for name in ("a", "b", "c"):
        weight = torch.ones(4)
        dist.all_reduce(weight)
        num_given.append(name)
        yield name, weight


def main(folder: Path, end_id: int, urls: list[str]) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    parts: dict[str, Any] = {"codec": Codec((end_id,)), "images": None}
    engine = ServerEngine(
        **parts, urls=urls, shared_folder=str(folder), backoff_s=0.05, max_backoff_s=0.1
    )
    names: list[str] = []
    engine.publish(gathered(names), version=5)
    assert names == ["a", "b", "c"]
    assert (engine.policy_version, engine.last_publish and engine.last_publish.num_bytes) == (5, 48)
    labels = [None, None]
    dist.all_gather_object(labels, engine._transfer.label)
    assert labels[0] == labels[1]
    if rank == 0:
        (folder / "published").touch()
    while not (folder / "restarted").exists():
        time.sleep(0.02)
    for number in range(20):
        sampling = SamplingParams(max_new_tokens=99)
        engine.submit(GenerationRequest(f"{rank}/{number}/0/1", (5,), (), sampling, number))
    found = 0
    while engine.num_in_flight:
        found += len(engine.poll())
    assert found == 20
    while len(engine._pool.up_urls) < 2:
        time.sleep(0.02)
    dist.barrier()
    failing = ServerEngine(**parts, urls=["http://127.0.0.1:9"], shared_folder=str(folder))
    names.clear()
    with pytest.raises(EngineError, match="no server took the weights"):  # on every rank
        failing.publish(gathered(names), version=6)
    assert names == ["a", "b", "c"]
    failing.close()
    engine.close()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
