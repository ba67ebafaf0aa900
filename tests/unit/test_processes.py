from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lightning.fabric.plugins.environments.lightning import find_free_network_port

from tests.forked import run_forked


def answers(folder: Path, *environments: dict[str, str]) -> list[list[str]]:
    """The two lines of each process; the processes run at the same time."""
    env = os.environ | {"PYTHONPATH": ".:src"}

    def said(own: dict[str, str]) -> list[str]:
        here = Path(__file__).parents[2]
        module = "tests.unit.first_process"
        done = run_forked(module, [str(folder)], folder=here, env=env | own, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with ThreadPoolExecutor() as threads:
        return list(threads.map(said, environments))


def test_under_slurm_the_first_process_decides_for_all(tmp_path: Path) -> None:
    port = str(find_free_network_port())
    job = {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "7",
    }
    job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    tasks = [job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in ("0", "1")]
    first, second = answers(tmp_path, *tasks)
    assert [line.split()[0] for line in (*first, *second)] == ["True"] * 2 + ["False"] * 2
    assert [line.split(" ", 1)[1] for line in first] == [line.split(" ", 1)[1] for line in second]
    assert len(first) == len(second) == 2
