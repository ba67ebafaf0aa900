"""Record anew what `test_tiny_scale.py` holds.

    python -m tests.golden.record_tiny_scale [PART ...]

From the checkout's root; two minutes of one core for all parts. Says of each part what differs from
what was recorded, so record only what you meant to change. On a machine other than the recording's,
record all parts from the commit that is to be held before you change anything; single parts are
refused. With `search`, record `sft` too: it learns from the recorded chains.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.golden.tiny_scale import (
    PARTS,
    RECORDING,
    differences,
    fingerprint,
    load_recording,
    run_part,
    save_recording,
)


def record(names: list[str]) -> None:
    recording = load_recording() if RECORDING.is_file() else {"machine": {}, "parts": {}}
    is_same = recording["machine"] == fingerprint()
    if unknown := set(names) - set(PARTS):
        sys.exit(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if names and not is_same:
        sys.exit("the recording is of another machine: record all parts")
    recording["machine"] = fingerprint()
    with tempfile.TemporaryDirectory() as root:
        # the search first: its chains are what is learned from
        for name in sorted(names or PARTS, key=lambda name: name != "search"):
            before, now = recording["parts"].get(name), run_part(name, Path(root))
            recording["parts"][name] = now
            save_recording(recording)
            changes = differences(name, before, now) if before else [f"{name}: new"]
            print("\n".join(changes or [f"{name}: as it was"]), flush=True)
    print(f"{RECORDING}: {RECORDING.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record(sys.argv[1:])
