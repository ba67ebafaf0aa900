from __future__ import annotations

import os
import subprocess
import sys

from lightning.fabric.plugins.environments.lightning import find_free_network_port

SAY = """
import os, sys
from omegaconf import OmegaConf
from vigorl.processes import from_first_process, is_first_process
cfg = OmegaConf.create({"trainer": {"devices": 2, "num_nodes": 1}})
for key in ("base", "model"):
    print(is_first_process(), from_first_process(cfg, key, lambda: f"{key} of {os.getpid()}"))
sys.stdin.read()  # as in a run, the first process lives longer than the questions of the others
"""


def answers(*environments: dict[str, str]) -> list[list[str]]:
    """The two lines of each process; the processes end together."""
    started = [
        subprocess.Popen(
            [sys.executable, "-u", "-c", SAY],
            env=os.environ | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for env in environments
    ]
    try:
        return [[process.stdout.readline().strip() for _ in range(2)] for process in started]  # pyright: ignore[reportOptionalMemberAccess]
    finally:
        for process in started:
            process.communicate("", timeout=300)


def test_under_slurm_the_first_process_decides_for_all() -> None:
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
    first, second = answers(*tasks)
    assert [line.split()[0] for line in (*first, *second)] == ["True"] * 2 + ["False"] * 2
    assert [line.split(" ", 1)[1] for line in first] == [line.split(" ", 1)[1] for line in second]
