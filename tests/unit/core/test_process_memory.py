from __future__ import annotations

from mmap import PAGESIZE, mmap

import pytest

from vigorl.core.process_memory import forget_peak, give_back, peak_bytes, resident_bytes

MIB = 2**20


def test_a_peak_is_remembered_until_it_is_forgotten() -> None:
    if not forget_peak():
        pytest.skip("the system keeps no peak that can be set back")
    before = resident_bytes()
    with mmap(-1, 64 * MIB) as block:  # not of what the process has freed and kept
        for start in range(0, 64 * MIB, PAGESIZE):
            block[start] = 1
    assert peak_bytes() > before + 60 * MIB
    assert forget_peak()
    assert peak_bytes() < before + 30 * MIB


def test_what_lies_between_things_that_live_on_is_given_back() -> None:
    before = resident_bytes()
    blocks = [bytes([i % 256]) * (64 * 1024) for i in range(1600)]  # 100 MiB below mmap's threshold
    rest = blocks[::16]
    del blocks
    give_back()
    assert len(rest) == 100
    assert resident_bytes() < before + 40 * MIB
