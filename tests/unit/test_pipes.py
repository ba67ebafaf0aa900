from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
PRINTS = """
from vigorl.pipes import let_pipes_close
let_pipes_close()
for _ in range(3):
    print("x" * 100_000, flush=True)
open({done!r}, "w").close()
"""


def test_a_command_outlives_the_reader_of_what_it_prints(tmp_path: Path) -> None:
    done = tmp_path / "done"
    reads, writes = os.pipe()
    os.close(reads)
    ended = subprocess.run(
        [sys.executable, "-c", PRINTS.format(done=str(done))],
        stdout=writes,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SRC)},
        check=False,
    )
    os.close(writes)
    assert (ended.returncode, ended.stderr, done.exists()) == (0, b"", True)
