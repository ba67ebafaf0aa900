"""How much memory this process holds, as the kernel counts it, and giving back what it does not.

`ru_maxrss` never falls, so it cannot say whether a run has stopped growing. Linux keeps a second
mark that can be set back: `VmHWM` of /proc/self/status, by writing 5 to /proc/self/clear_refs. On
other systems only `ru_maxrss` is there, and both functions give it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import resource
import sys
from functools import cache
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5), since Linux 4.0


def resident_bytes() -> int:
    """Held now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most held since `forget_peak`, or since the process began."""
    return _status("VmHWM")


def forget_peak() -> bool:
    """Let the peak be what is held now; says whether the system can."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def give_back() -> None:
    """Return to the system what the C library has freed and kept.

    glibc keeps freed tensors that lie between smaller things that live on, without end: a phase
    frees and allocates gigabytes, and each time a part of it stays. Does nothing where the C
    library is another.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    if found:
        return found[0]
    kib = 1 if sys.platform == "darwin" else 1024  # no such file, or a sandbox's that lacks it
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kib


@cache
def _trim() -> ctypes._NamedFuncPointer | None:
    try:
        return ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim
    except (AttributeError, OSError, TypeError):  # no glibc
        return None
