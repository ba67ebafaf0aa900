"""A cache that is limited by what it holds, not by how many things it holds.

Left out on purpose: threads (each DataLoader worker has its own copy) and expiry (a picture file
does not change during a run).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Keeps the most recently used values whose sizes add up to at most `max_bytes`.

    A value larger than `max_bytes` is handed out and not kept.

    Attributes:
        num_hits: Lookups answered from the cache.
        num_misses: Lookups that had to make the value.
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.num_hits = self.num_misses = 0
        self._entries: LRUCache[Key, tuple[Value, int]] = LRUCache(
            max_bytes, getsizeof=lambda entry: entry[1]
        )

    @property
    def num_bytes(self) -> int:
        """What the kept values weigh together."""
        return int(self._entries.currsize)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, *, make: Callable[[], Value], weigh: Callable[[Value], int]) -> Value:
        """The kept value, or a new one from `make`, whose bytes `weigh` says."""
        found = self.find(key)
        if found is not None:
            self.num_hits += 1
            return found
        self.num_misses += 1
        value = make()
        self.put(key, value, weight=weigh(value))
        return value

    def find(self, key: Key) -> Value | None:
        """The kept value, which counts as a use of it but as no lookup; None if there is none."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: Key, value: Value, *, weight: int) -> None:
        """Keep a value that is not kept yet, at the cost of those used longest ago."""
        if weight <= self.max_bytes:
            self._entries[key] = (value, weight)

    def clear(self) -> None:
        """Drop everything; the counters stay."""
        self._entries.clear()
