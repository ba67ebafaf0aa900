"""The cache keeps what was used last, up to its bytes."""

from __future__ import annotations

from vigorl.data.cache import ByteCache


def fill(cache: ByteCache[str, str], *values: str) -> None:
    for value in values:
        cache.get(value, make=lambda value=value: value, weigh=len)


def test_the_least_recently_used_value_goes_first() -> None:
    cache: ByteCache[str, str] = ByteCache(6)
    fill(cache, "aa", "bb", "cc", "aa", "dd")  # "bb" is the oldest when "dd" needs its place
    assert (cache.num_hits, cache.num_misses, cache.num_bytes) == (1, 4, 6)
    fill(cache, "aa", "cc", "dd")
    assert cache.num_hits == 4
    fill(cache, "bb")
    assert cache.num_misses == 5


def test_a_value_too_large_is_handed_out_and_pushes_nothing_out() -> None:
    cache: ByteCache[str, str] = ByteCache(6)
    fill(cache, "aa")
    assert cache.get("x", make=lambda: "1234567", weigh=len) == "1234567"
    assert (len(cache), cache.num_bytes) == (1, 2)


def test_clear_forgets_values_and_keeps_the_counters() -> None:
    cache: ByteCache[str, str] = ByteCache(6)
    fill(cache, "aa", "aa")
    cache.clear()
    assert (len(cache), cache.num_bytes, cache.num_hits, cache.num_misses) == (0, 0, 1, 1)
