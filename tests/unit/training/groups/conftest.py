"""Two ranks in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from vigorl.training.groups import collection, replay


@pytest.fixture
def on_two_ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Runs a function of the rank on both, in threads that gather from each other; outside of it
    there is one rank.
    """
    barrier, held, local = threading.Barrier(2, timeout=10), {}, threading.local()

    def gather(own: Any) -> list[Any]:
        if not hasattr(local, "rank"):
            return [own]
        held[local.rank] = own
        barrier.wait()
        found = [held[0], held[1]]
        barrier.wait()
        return found

    for module in (collection, replay):
        monkeypatch.setattr(module, "from_all_ranks", gather)
    monkeypatch.setattr(replay, "own_rank", lambda: local.rank)

    def run(work: Callable[[int], Any]) -> list[Any]:
        found: dict[int, Any] = {}

        def of_rank(rank: int) -> None:
            local.rank = rank
            found[rank] = work(rank)

        threads = [threading.Thread(target=of_rank, args=(rank,)) for rank in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[0], found[1]]

    return run
