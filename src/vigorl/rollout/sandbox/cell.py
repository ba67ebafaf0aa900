"""A process of its own for code that nobody trusts, from its start to what it leaves.

    left = run("print(images[0].size)", [picture], limits=Limits())
    left.text, left.pictures, left.fault

What it leaves is read when no process of it lives any more, and trusted in nothing: names, kinds
and sizes of files are looked at before they are read, and of pictures the header before the pixels.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import platform
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.rollout.sandbox import walls

_PERIOD_S = 0.01
_SHOWN = re.compile(r"\.(?:png|jpe?g)$", re.IGNORECASE)
_SAID = ("text", "error")
_OWN_FILES = ("code.py", walls.REPORT)
_STARTING_S = 20.0  # beyond the code's own time: Python and two libraries on a busy machine
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip  # what Pillow's decoders raise on damaged files


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a code may go.

    Attributes:
        seconds: Of wall time, the start not counted, and of CPU time in whole seconds.
        memory_mb: Address space, Python and libraries (about 300) included.
        disk_mb: All files that it writes.
        num_files: That it leaves at any time.
        characters: Of printed text that are kept.
        pictures: That it may leave.
        pixels: Of each.
    """

    seconds: float = 10.0
    memory_mb: int = 1024
    disk_mb: int = 64
    num_files: int = 64
    characters: int = 2000
    pictures: int = 4
    pixels: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Left:
    """What a code left.

    Attributes:
        text: What it printed, as it is.
        pictures: RGB, in the order of their names; `result` first.
        fault: Why it did not end by itself, in words for the policy; "" where it did.
    """

    text: str
    pictures: tuple[Image.Image, ...]
    fault: str = ""


def check_walls() -> None:
    """Raises ConfigError where the kernel has not what keeps a code inside."""
    missing = []
    if sys.platform != "linux" or platform.machine() != "x86_64":
        missing.append("Linux on x86-64")
    elif walls.landlock_version() < walls.LEAST_LANDLOCK:
        missing.append("Landlock, of Linux 6.2 or newer")
    elif not Path("/proc/sys/kernel/seccomp").is_dir():
        missing.append("seccomp")
    if missing:
        raise ConfigError(
            f"tools.run_code needs {missing[0]} to keep a policy's code inside, which this machine "
            "has not: leave the tool out, or set tools.run_code.unsafe=true where nothing can be "
            "harmed"
        )


def run(code: str, images: Sequence[Image.Image], *, limits: Limits, unsafe: bool = False) -> Left:
    """Run a code in a folder of its own, which is gone afterwards.

    Args:
        code: Python.
        images: What it finds as `images`, and as image_0.png and so on in its folder.
        limits: How far it may go.
        unsafe: Run also where a wall does not stand.
    Raises:
        ConfigError: A wall does not stand.
    """
    with tempfile.TemporaryDirectory(prefix="cell-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        (folder / "code.py").write_text(code, encoding="utf-8", errors="replace")
        names = [f"image_{number}.png" for number in range(len(images))]
        for one, image in zip(names, images, strict=True):
            image.save(folder / one, compress_level=1)
        fault, status = _run(folder, len(images), limits, unsafe)
        if status == walls.FAILED and not fault:
            raise ConfigError(
                "tools.run_code: a wall around the policy's code does not stand, though the kernel "
                "says that it could: leave the tool out, or set tools.run_code.unsafe=true"
            )
        return _left(folder, {*names, *_OWN_FILES}, fault or _fault_of(status, limits), limits)


def _run(folder: Path, num_images: int, limits: Limits, unsafe: bool) -> tuple[str, int]:
    """Why it was ended, or nothing, and its exit status."""
    own = sum(one.stat().st_size for one in folder.iterdir())
    asked = {
        "folder": str(folder),
        "libraries": _site(),
        "readable": _readable(),
        "num_images": num_images,
        "characters": limits.characters,
        "pixels": limits.pixels,
        "unsafe": unsafe,
        "limits": {
            "memory_bytes": limits.memory_mb << 20,
            "seconds": int(limits.seconds) + 2,
            "file_bytes": limits.disk_mb << 20,
            "num_files": 32,
        },
    }
    started, starts = os.pipe()  # closed at the other end where the code begins
    asked["starts"] = starts
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", walls.__file__, json.dumps(asked)],
        cwd=folder, env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, pass_fds=(starts,),
    )  # fmt: skip
    os.close(starts)
    try:
        fault = _watch(process, folder, limits, room=own + (limits.disk_mb << 20), started=started)
    finally:
        with suppress(ProcessLookupError):  # itself, and whatever it could have started
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        os.close(started)
    return fault, status


def _watch(
    process: subprocess.Popen[bytes], folder: Path, limits: Limits, *, room: int, started: int
) -> str:
    """Wait for its end; why it has to be ended, or nothing."""
    end, is_started = time.monotonic() + _STARTING_S, False
    said = select.poll()  # not select(), which takes no number above 1,023
    said.register(started, select.POLLIN)
    while process.poll() is None:
        files = _files(folder)
        if len(files) > limits.num_files or sum(files.values()) > room:
            most = f"{limits.num_files} files or {limits.disk_mb} MB"
            return f"The code wrote more than {most} and was stopped."
        if is_started:
            time.sleep(_PERIOD_S)
        elif said.poll(1000 * _PERIOD_S):
            end, is_started = time.monotonic() + limits.seconds, True
        if time.monotonic() > end:
            return f"The code did not end within {limits.seconds:g} seconds and was stopped."
    return ""


def _files(folder: Path) -> dict[str, int]:
    """Bytes of each file; what a name stands for is not followed."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # gone since
                found[entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


def _fault_of(status: int, limits: Limits) -> str:
    """What a code's exit status says of it."""
    if status == -signal.SIGXCPU:
        return f"The code did not end within {limits.seconds:g} seconds and was stopped."
    return f"The code crashed, with signal {-status}." if status < 0 else ""


def _left(folder: Path, own: set[str], fault: str, limits: Limits) -> Left:
    said = {} if fault else _report(folder / walls.REPORT, room=12 * limits.characters + 10_000)
    if said is None:
        fault = "The code ended its process, so that nothing is known of what it did."
    elif said.get("error"):
        fault = f"The code stopped with an error. {said['error']}"
    if fault:
        return Left("", (), fault)
    names = sorted(_files(folder).keys() - own, key=lambda name: (name != "result.png", name))
    names = [one for one in names if _SHOWN.search(one)]
    if len(names) > limits.pictures:
        most = limits.pictures
        return Left("", (), f"The code left {len(names)} pictures; it may leave {most}.")
    pictures = [_picture(folder / one, limits.pixels) for one in names]
    if None in pictures:
        most = f"{limits.pixels:,} pixels"
        return Left("", (), f"A picture that the code left has more than {most} or is damaged.")
    return Left(str((said or {})["text"])[: limits.characters], tuple(filter(None, pictures)))


def _report(path: Path, *, room: int) -> dict[str, str] | None:
    data = _bytes(path, room=room)
    try:
        said = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
    is_whole = isinstance(said, dict) and all(isinstance(said.get(k), str) for k in _SAID)
    return said if is_whole else None


def _picture(path: Path, pixels: int) -> Image.Image | None:
    data = _bytes(path, room=8 * pixels)
    try:
        with Image.open(io.BytesIO(data or b""), formats=("PNG", "JPEG")) as image:
            return image.convert("RGB") if image.width * image.height <= pixels else None
    except _BROKEN:
        return None


def _bytes(path: Path, *, room: int) -> bytes | None:
    """Of a plain file with at most `room` of them."""
    try:
        place = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(place, "rb") as file:
        found = os.fstat(place)
        return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= room else None


def _site() -> list[str]:
    """Where the two libraries lie."""
    specs = [importlib.util.find_spec(name) for name in ("PIL", "numpy")]
    places = [str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin]
    return sorted(set(places))


def _readable() -> list[str]:
    """What Python and the libraries still load, and nothing beside them."""
    names = ("PIL", "pillow.libs", "numpy", "numpy.libs")
    inside = [str(Path(site, name)) for site in _site() for name in names]
    return [sysconfig.get_path("stdlib"), *(path for path in inside if Path(path).is_dir())]
