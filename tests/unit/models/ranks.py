"""Workers of several connected processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_ranks(worker: str, *given: str, num: int = 2) -> None:
    """Run a module beside this file in so many processes; what it asserts holds in each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*command, f"--nproc-per-node={num}", "-m", f"tests.unit.models.{worker}", *given],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
