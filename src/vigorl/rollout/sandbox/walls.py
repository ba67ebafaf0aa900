"""The program of a cell: it raises walls around itself, then runs code that nobody trusts.

    python -I -S -B walls.py '{"folder": ..., "libraries": [...], ...}' < /dev/null

Standard library only, for it is started by its path, without vigorl. Each wall holds by itself
against what it is for; a code that gets through Python's own (the last) meets the kernel's.

    no environment, no stdin       `cell` gives none: nothing secret is there to be read
    rlimits                        memory, CPU time, size of a file, open files, no core dump
    namespaces (where permitted)   a user without rights over anything, a network without a device
    no_new_privs                   no program could give rights back; the next two ask for it
    Landlock                       reads Python's own files and the two libraries, writes only plain
                                   files in its folder; newer ones: no TCP, no signal to others
    seccomp                        system calls of a list alone: none for sockets, processes,
                                   threads, programs, signals to others, modes, owners, mounts or
                                   limits
    audit hook                     says in Python's words what would be refused anyway

Left out on purpose: other machines than x86-64, whose call numbers nobody has tried here.
Source: Linux's include/uapi/linux/{landlock,seccomp,filter}.h and syscall_64.tbl.
"""

from __future__ import annotations

import builtins
import ctypes
import io
import json
import os
import resource
import struct
import sys
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any

FAILED = 97  # exit status where a wall that is asked for does not stand
LEAST_LANDLOCK = 3  # Linux 6.2; before, files outside could be emptied
CODE = "<code>"
REPORT = "report.json"
_LIBC = ctypes.CDLL(None, use_errno=True)

_NEW_USER, _NEW_IPC, _NEW_NET = 0x10000000, 0x08000000, 0x40000000
_SET_SECCOMP, _FILTER, _SET_NO_NEW_PRIVS = 22, 2, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_ALL_OF_FILES = (1 << 15) - 1  # as of version 3
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE

# by number: reading and writing of open files, looking at files, memory, time, one's own signals
_ALLOWED = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,  # read ... rt_sigreturn
    17, 18, 19, 20, 21, 22, 23, 24, 25, 28,  # pread64 ... mremap, madvise
    32, 33, 34, 35, 39, 40,  # dup, dup2, pause, nanosleep, getpid, sendfile
    60, 63, 74, 75, 77, 78, 79,  # exit, uname, fsync, fdatasync, ftruncate, getdents, getcwd
    82, 87, 89, 95, 96, 97, 98, 99, 100,  # rename, unlink, readlink, umask ... times
    102, 104, 107, 108, 110, 111, 131, 158, 186,  # getuid ... getpgrp, sigaltstack, arch_prctl
    201, 202, 204, 217, 218, 219, 221,  # time, futex, sched_getaffinity, getdents64 ... fadvise64
    228, 229, 230, 231, 257, 262, 263, 264, 267, 269, 270, 271, 273,  # clock_gettime ...
    292, 293, 295, 296, 316, 318, 326, 332, 334, 436, 439,  # dup3 ... close_range, faccessat2
)  # fmt: skip
_FCNTL, _TGKILL = 72, 234
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)  # none that names who gets signals
_X86_64 = 0xC000003E
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # refused is "not permitted"

_AUDITED = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.kill",
    "os.symlink", "os.link", "os.chmod", "os.chown", "ctypes.", "pty.", "resource.setrlimit",
    "urllib.", "mmap.", "signal.pthread_kill",
)  # fmt: skip


def limit(*, memory_bytes: int, seconds: int, file_bytes: int, num_files: int) -> None:
    """What the kernel takes from it; nothing of it can be raised again."""
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, num_files),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def leave_namespaces() -> bool:
    """A user of its own, and a network without a device; False where the kernel permits none."""
    return _LIBC.unshare(_NEW_USER | _NEW_NET | _NEW_IPC) == 0


def landlock_version() -> int:
    """Of this kernel; 0 where there is none."""
    return max(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1), 0)


def lock_files(folder: str, readable: list[str]) -> bool:
    """Landlock: plain files of `folder` for writing, and what lies under `readable` for reading."""
    version = landlock_version()
    if version < LEAST_LANDLOCK:
        return False
    rules = struct.pack("QQQ", _ALL_OF_FILES, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _LIBC.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(size), 0)
    is_locked = ruleset >= 0
    for path, rights in ((folder, _OWN), *((path, _READ) for path in readable)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights, place)
        is_locked &= _LIBC.syscall(_ADD_RULE, ruleset, 1, rule, 0) == 0
        os.close(place)
    is_locked = is_locked and _LIBC.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return is_locked


def give_up_rights() -> bool:
    """No program that it could start would have more rights than it has."""
    return _LIBC.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def filter_calls() -> bool:
    """Seccomp: what is not on the list is not permitted; other tables of calls end the process."""

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, k)

    load, equal, back = 0x20, 0x15, 0x06
    number, machine, first, second = 0, 4, 16, 24  # places in struct seccomp_data
    program = [step(load, machine), step(equal, _X86_64, 1), step(back, _KILL), step(load, number)]
    for call in _ALLOWED:
        program += [step(equal, call, 0, 1), step(back, _ALLOW)]
    for call, place, values in (
        (_FCNTL, second, _FCNTL_COMMANDS),
        (_TGKILL, first, (os.getpid(),)),  # abort() sends it to itself
    ):
        program += [step(equal, call, 0, 2 + 2 * len(values)), step(load, place)]
        for value in values:
            program += [step(equal, value, 0, 1), step(back, _ALLOW)]
        program += [step(back, _REFUSE)]
    program += [step(back, _REFUSE)]
    steps = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(steps))
    return _LIBC.prctl(_SET_SECCOMP, _FILTER, whole, 0, 0) == 0


def refuse_in_words(event: str, _: object) -> None:
    """The audit hook."""
    if event.startswith(_AUDITED):
        raise PermissionError(f"{event} is not permitted here")


class Page(io.TextIOBase):
    """What is printed, as far as it has room; the rest is dropped."""

    def __init__(self, room: int) -> None:
        self.text, self._room = "", room

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.text += str(text)[: self._room - len(self.text)]
        return len(text)


def keep_result(value: Any) -> None:
    """The picture that the code calls `result`, as a file; anything else is nothing to show."""
    from PIL import Image

    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.ndarray):
        value = Image.fromarray(value.astype("uint8"))
    if isinstance(value, Image.Image):
        value.convert("RGB").save("result.png", "PNG")


def report(page: Page, error: str = "") -> None:
    """What is to be known of a code that has ended."""
    said = json.dumps({"text": page.text, "error": error})
    with open(REPORT, "w", encoding="utf-8") as file:
        file.write(said)


def fault_of(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> str:
    """An error in a line, with the line of the code that it was raised in."""
    places = [one.lineno for one in traceback.extract_tb(where) if one.filename == CODE]
    if isinstance(error, SyntaxError) and error.filename == CODE:
        places = [error.lineno]
    line = f"line {places[-1]}: " if places else ""
    return f"{line}{kind.__name__}: {str(error)[:200]}"


def main(asked: dict[str, Any]) -> None:
    """Raise the walls and run the code in `code.py`."""
    os.chdir(asked["folder"])
    leave_namespaces()
    sys.path += asked["libraries"]
    import numpy
    from PIL import (  # all that a code may want, while files can be read
        Image,
        ImageChops,
        ImageDraw,
        ImageEnhance,
        ImageFilter,
        ImageFont,
        ImageOps,
        ImageStat,
    )

    del sys.path[-len(asked["libraries"]) :]
    Image.preinit()
    Image.MAX_IMAGE_PIXELS = asked["pixels"]
    with open("code.py", encoding="utf-8") as file:
        code = file.read()
    names = [f"image_{number}.png" for number in range(asked["num_images"])]
    images = [Image.open(name).convert("RGB") for name in names]
    limit(**asked["limits"])
    walls = (give_up_rights(), lock_files(asked["folder"], asked["readable"]), filter_calls())
    if not (all(walls) or asked["unsafe"]):
        os._exit(FAILED)
    page = Page(asked["characters"])
    sys.stdout = sys.stderr = page
    sys.excepthook = lambda kind, error, where: report(page, fault_of(kind, error, where))
    known = (Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps)
    room: dict[str, Any] = {one.__name__.rpartition(".")[2]: one for one in (*known, ImageStat)}
    room |= {"__name__": "__main__", "__builtins__": builtins, "np": numpy, "images": images}
    sys.addaudithook(refuse_in_words)
    os.close(asked["starts"])
    with suppress(SystemExit):  # an end like any other
        exec(compile(code, CODE, "exec"), room)
    keep_result(room.get("result"))
    report(page)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
