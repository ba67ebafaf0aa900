"""What the machine refuses in the middle of the work: room on a disk, a file, memory. It is said in
one line with what to do, and the traceback is kept in a file; a fault of the code still shows it.
"""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig
from safetensors import SafetensorError

from vigorl.core.errors import VigorlError
from vigorl.core.files import written_whole
from vigorl.stopping import folder_of, how_to_go_on

_ROOM, _RIGHTS = "make room there", "give this user the rights, or set paths.root"
_CURES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EEXIST: "move it away",
    errno.EISDIR: "a folder stands where a file belongs: move it away",
    errno.ENOTDIR: "a file stands where a folder belongs: move it away",
    errno.ENAMETOOLONG: "set a shorter paths.root",
    errno.EIO: "the disk fails; copy the run to another",
    errno.EMFILE: "ulimit -n sets how many files may be open",
}
_LESS_MEMORY = "pixels.max_pixels, limits.max_new_tokens or engine.max_batch_size"
_LESS_TO_TRAIN = "plan.micro_batch_size (of SFT traces.micro_batch_size) or micro_batch_tokens, "


def machine_fault(error: BaseException, *, door: str, folder: Path | None = None) -> str | None:
    """What the machine refuses and what to do, where that is what an error, or its cause, says.

    Args:
        error: Libraries that write weights have errors of their own for a full disk.
        door: Of `python -m vigorl.DOOR`, whose settings are named.
        folder: Of the run; named where the error names no file.
    """
    inner: BaseException | None = error
    while inner is not None:
        text = "" if isinstance(inner, VigorlError) else str(inner)
        if isinstance(inner, OSError) and inner.errno in _CURES:
            where = inner.filename2 or inner.filename or folder  # of a copy, where to
            return f"{where}: {inner.strerror}: {_CURES[inner.errno]}".removeprefix("None: ")
        if "No space left on device" in text or "file write failed" in text:
            return f"{folder}: {os.strerror(errno.ENOSPC)}: {_ROOM}".removeprefix("None: ")
        is_memory = "out of memory" in text or "can't allocate memory" in text
        if isinstance(inner, MemoryError) or (is_memory and isinstance(inner, RuntimeError)):
            said = " ".join(text.split())[:160] or "out of memory"
            return f"{said}: {_with_less_memory(door)}"
        inner = inner.__cause__
    return None


def _with_less_memory(door: str) -> str:
    lower = _LESS_TO_TRAIN + _LESS_MEMORY if door == "train" else _LESS_MEMORY
    more = " or set model.gradient_checkpointing=true;" if door == "train" else ""
    return f"lower {lower};{more} python -m vigorl.doctor adds up what a run needs"


@contextmanager
def told_in_one_line(door: str, cfg: DictConfig) -> Iterator[None]:
    """Inside, what the machine refuses becomes an error of ours.

    Args:
        door: Of `python -m vigorl.DOOR`.
        cfg: Its settings; the run's folder gets the traceback.
    Raises:
        VigorlError: In place of an error that `machine_fault` knows.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError, SafetensorError, HydraException) as error:
        folder = folder_of(cfg)
        fault = machine_fault(error, door=door, folder=folder)
        kept = _keep(error, folder) if fault else None
        if kept is None:
            raise
        raise VigorlError(
            f"{fault}; {how_to_go_on(door, cfg)}; the traceback is in {kept}"
        ) from error


def _keep(error: BaseException, folder: Path | None) -> Path | None:
    """Where its traceback is written: in the run's folder, elsewhere where that cannot be; None
    where nothing can be written.
    """
    try:
        elsewhere = [Path(tempfile.gettempdir())]
    except FileNotFoundError:
        elsewhere = []
    for place in [folder, *elsewhere] if folder and folder.is_dir() else elsewhere:
        path = place / f"traceback-{os.getpid()}.txt"
        try:
            with written_whole(path) as part:
                part.write_text("".join(traceback.format_exception(error)), errors="replace")
        except OSError:
            continue
        return path
    return None
