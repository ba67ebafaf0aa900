"""Code that wants out, or never to end. What only tries is tried in one cell; what would end its
process gets a cell of its own.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.rollout.sandbox import walls
from vigorl.rollout.sandbox.cell import Left, Limits, check_walls, run

LIMITS = Limits(seconds=20.0, memory_mb=512, characters=20_000)
TRIES = {  # a name, and what Python or the kernel answers
    "read a file": ("open('/etc/passwd').read()", "PermissionError"),
    "list a folder": ("os.listdir('/')", "PermissionError"),
    "read by number": ("os.open('/etc/passwd', os.O_RDONLY)", "PermissionError"),
    "read this test": ("open(OUTSIDE).read()", "PermissionError"),
    "write outside": ("open(OUTSIDE, 'w')", "PermissionError"),
    "empty a file outside": ("os.open(OUTSIDE, os.O_RDONLY | os.O_TRUNC)", "PermissionError"),
    "write beside the folder": ("open('../beside', 'w')", "PermissionError"),
    "write to memory's folder": ("open('/dev/shm/x', 'w')", "PermissionError"),
    "delete outside": ("os.unlink(OUTSIDE)", "PermissionError"),
    "move outside": ("os.rename('code.py', OUTSIDE)", "OSError"),
    "change a mode": ("os.chmod(OUTSIDE, 0)", "PermissionError"),
    "change a mode, raw": ("raw(90, OUTSIDE.encode(), 0)", 1),
    "a symlink": ("os.symlink('/etc/passwd', 'link.png')", "PermissionError"),
    "a symlink, raw": ("raw(88, b'/etc/passwd', b'link.png')", 1),
    "a hard link, raw": ("raw(86, b'/etc/passwd', b'link.png')", 1),
    "a pipe with a name": ("os.mkfifo('pipe.png')", "PermissionError"),
    "a folder": ("os.mkdir('deep')", "PermissionError"),
    "delete its folder": ("os.rmdir(os.getcwd())", "PermissionError"),
    "secrets of its parent": ("open(f'/proc/{os.getppid()}/environ').read()", "PermissionError"),
    "write to proc": ("open('/proc/self/oom_score_adj', 'w')", "PermissionError"),
    "its memory by proc": ("open('/proc/self/mem', 'r+b')", "PermissionError"),
    "a socket": ("import socket; socket.socket()", "PermissionError"),
    "a page": ("import urllib.request; urllib.request.urlopen('http://1.1.1.1')", "URLError"),
    "a socket, raw": ("raw(41, 2, 1, 0)", 1),
    "a pair of sockets, raw": ("raw(53, 1, 1, 0, (ctypes.c_int * 2)())", 1),
    "a program": ("import subprocess; subprocess.run(['/bin/sh'])", "PermissionError"),
    "a shell": ("assert os.system('id') != 127 * 256", "AssertionError"),
    "become a program": ("os.execv('/bin/sh', ['sh'])", "PermissionError"),
    "become a program, raw": ("raw(59, b'/bin/sh', None, None)", 1),
    "fork": ("os.fork()", "PermissionError"),
    "fork, raw": ("raw(57)", 1),
    "clone, raw": ("raw(56, 17, 0, 0, 0, 0)", 1),
    "clone3, raw": ("raw(435, None, 0)", 1),
    "a thread": ("import threading; threading.Thread(target=print).start()", "RuntimeError"),
    "a session of its own, raw": ("raw(112)", 1),
    "signal its parent": ("os.kill(os.getppid(), 9)", "PermissionError"),
    "signal its parent, raw": ("raw(62, os.getppid(), 9)", 1),
    "signal a thread of it, raw": ("raw(234, os.getppid(), os.getppid(), 9)", 1),
    "signals of a pipe to its parent": (
        "import fcntl; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())", "PermissionError",
    ),
    "trace its parent, raw": ("raw(101, 16, os.getppid(), 0, 0)", 1),
    "memory of its parent, raw": ("raw(310, os.getppid(), None, 0, None, 0, 0)", 1),
    "higher limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError",
    ),
    "higher limits, raw": ("raw(302, 0, 9, (ctypes.c_ulong * 2)(2**40, 2**40), None)", 1),
    "memory that no limit counts, raw": ("raw(319, b'x', 0)", 1),
    "shared memory, raw": ("raw(29, 7, 4096, 0o1600)", 1),
    "a queue of calls, raw": ("raw(425, 8, None)", 1),
    "other namespaces, raw": ("raw(272, 0x10000000)", 1),
    "a mount, raw": ("raw(165, None, b'/', None, 0, None)", 1),
    "torch": ("import torch", "ModuleNotFoundError"),
    "vigorl": ("import vigorl", "ModuleNotFoundError"),
    "modules by their folder": ("sys.path.append(SITE); import torch", "PermissionError"),
    "past the hook by frames": (
        "[gc.get_referrers(f) for f in gc.get_objects() if f is __main__.refuse_in_words]; "
        "open('/etc/passwd')", "PermissionError",
    ),
    "a question to a person": ("input()", "EOFError"),
    "ten gigabytes": ("bytearray(10**10)", "MemoryError"),
    "a pickle that reads": (
        "import pickle; pickle.loads(b'c__builtin__\\nopen\\n(S\"/etc/passwd\"\\ntR.')",
        "PermissionError",
    ),
    "a zip of zeros": (
        "import zlib; held = bytearray(10**8); c = zlib.compressobj(wbits=-15); "
        "z = c.compress(bytes(10**7)) + c.flush(zlib.Z_FULL_FLUSH); zlib.decompress(z * 150, "
        "wbits=-15)", "MemoryError",
    ),
    "pixels without end": ("Image.new('RGB', (10**5, 10**5))", "MemoryError"),
    "a file without end": (
        "open('a', 'wb').write(bytes(2**20 * 65))", "OSError",
    ),
}  # fmt: skip
TRY_ALL = """
import __main__, ctypes, gc, json, os, sys
OUTSIDE, SITE, TRIES = {outside!r}, {site!r}, {tries!r}
__main__._AUDITED = ("-",)  # without the innermost wall, so that the others are seen to hold
def raw(number, *arguments):
    ctypes.set_errno(0)
    return __main__._LIBC.syscall(number, *arguments) and ctypes.get_errno()
found = {{}}
for name, code in TRIES.items():
    try:
        found[name] = eval(code, globals()) if code.startswith("raw") else exec(code, globals())
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        found[name] = kinds
    if os.path.exists("a"):
        os.unlink("a")
print(json.dumps(found))
print(dict(os.environ))
"""


def picture() -> Image.Image:
    return Image.new("RGB", (40, 30), (200, 30, 30))


def leave(code: str, *, unsafe: bool = False, **limits: float) -> Left:
    return run(code, [picture()], limits=Limits(**{"seconds": 5.0} | limits), unsafe=unsafe)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    outside = tmp_path_factory.mktemp("outside") / "kept.txt"
    outside.write_text("kept")
    site = str(Path(Image.__file__).parents[1])
    os.environ["A_SECRET"] = "hunter2"
    try:
        tries = {name: code for name, (code, _) in TRIES.items()}
        left = run(
            TRY_ALL.format(outside=str(outside), site=site, tries=tries), [picture()], limits=LIMITS
        )
    finally:
        del os.environ["A_SECRET"]
    assert left.fault == ""
    assert "hunter2" not in left.text
    assert (outside.read_text(), outside.stat().st_mode & 0o777) == ("kept", 0o644)
    assert os.listdir(outside.parent) == ["kept.txt"]
    return json.loads(left.text.splitlines()[0])


@pytest.mark.parametrize("name", TRIES)
def test_an_attempt_is_refused(tried: dict[str, object], name: str) -> None:
    found, expected = tried[name], TRIES[name][1]
    assert found == expected or (isinstance(found, list) and expected in found)


def test_the_hook_refuses_in_words() -> None:
    for code in ("import os; os.system('id')", "import ctypes; ctypes.CDLL('libc.so.6')"):
        assert "PermissionError: " in leave(code).fault
    assert "socket.__new__ is not permitted here" in leave("import socket; socket.socket()").fault


@pytest.mark.skipif(getrlimit(RLIMIT_NOFILE)[0] < 1200, reason="files are few here")
def test_a_process_of_many_open_files_runs_code() -> None:
    with ExitStack() as held:
        for _ in range(1100):
            held.callback(os.close, os.dup(0))
        left = leave("print(6 * 7)", seconds=20.0)
    assert (left.text, left.fault) == ("42\n", "")


STOPPED = "was stopped."
ENDS = {  # each in a cell of its own: code, and words of the fault
    "an endless loop": ("while True: pass", STOPPED),
    "sleep": ("import time; time.sleep(600)", STOPPED),
    "deaf to signals": (
        "import signal\nfor n in {*range(1, 32)} - {9, 19}: signal.signal(n, lambda *_: 0)\n"
        "while True: pass",
        STOPPED,
    ),
    "many files": ("for n in range(10**6): open(str(n), 'w').close()", "more than 64 files"),
    "many bytes": (
        "for n in range(60): open(str(n), 'wb').write(bytes(2**22))\nimport time; time.sleep(600)",
        "64 MB",
    ),
    "a giant message": ("raise ValueError('x' * 10**8)", "ValueError: xxx"),
    "its own class of error": ("class Odd(BaseException): pass\nraise Odd('a')", "line 2: Odd: a"),
    "no Python": ("x = = 1", "line 1: SyntaxError"),
    "all files closed": ("import os\nos.closerange(0, 200)\nos._exit(3)", "ended its process"),
    "a crash": ("import os\nos.abort()", "crashed, with signal 6"),
    "a report of its own": (
        "import os\nopen('report.json', 'w').write('[' * 10**5)\nos._exit(0)", "ended its process"
    ),
    "a picture that is too large": (
        "result = Image.new('RGB', (3000, 2000))", "more than 4,000,000 pixels"
    ),
    "a bomb of a picture": (
        "import struct, zlib\ndef chunk(data):\n"
        "  size = len(data) - 4\n"
        "  return struct.pack('>I', size) + data + struct.pack('>I', zlib.crc32(data))\n"
        "head = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)\n"
        "chunks = (b'IHDR' + head, b'IDAT' + zlib.compress(bytes(10**6)), b'IEND')\n"
        "open('b.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + b''.join(map(chunk, chunks)))",
        "more than 4,000,000 pixels",
    ),
    "no picture": ("open('b.png', 'wb').write(b'PNG')", "or is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_what_does_not_end_well_ends(name: str) -> None:
    code, words = ENDS[name]
    left = leave(code, seconds=0.4 if words == STOPPED else 5.0)
    assert words in left.fault
    assert (left.pictures, left.text, len(left.fault) < 400) == ((), "", True)


def test_prints_are_kept_as_far_as_there_is_room() -> None:
    left = leave("for n in range(10**5): print('é\\ud800' * 100)\nimport os; os.write(1, b'x')")
    assert (left.fault, len(left.text), left.text[:2]) == ("", 2000, "é\ud800")


def test_it_sees_the_pictures_and_leaves_some() -> None:
    left = leave(
        "print(images[0].size, images[0].getpixel((0, 0)))\n"
        "Image.open('image_0.png').resize((8, 9)).save('b.png')\n"
        "Image.fromarray(np.zeros((5, 6, 3), 'uint8')).save('a.jpg')\n"
        "open('notes.txt', 'w').write('no picture')\n"
        "result = np.asarray(images[0])[:10]\n"
        "import sys; sys.exit(3)"
    )
    assert (left.fault, left.text) == ("", "(40, 30) (200, 30, 30)\n")
    assert [one.size for one in left.pictures] == [(40, 10), (6, 5), (8, 9)]  # result, a, b
    assert left.pictures[0].getpixel((3, 3)) == (200, 30, 30)


def test_without_walls_nothing_runs_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    check_walls()
    monkeypatch.setattr(walls, "landlock_version", lambda: 2)
    with pytest.raises(ConfigError, match=r"needs Landlock, of Linux 6\.2.*unsafe=true"):
        check_walls()
