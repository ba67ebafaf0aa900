"""The doctor's door as a process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.forked import run_forked
from vigorl.build import CONFIGS

pytestmark = pytest.mark.slow


def run_doctor(*overrides: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": ".:src", "OMP_NUM_THREADS": "1"}
    env.pop("MLFLOW_TRACKING_URI", None)
    folder = Path(CONFIGS).parent
    return run_forked("vigorl.doctor", list(overrides), folder=folder, env=env, timeout=300)


def test_the_main_job_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    done = run_doctor("experiment=grpo_vstar", f"paths.root={tmp_path}", "trainer.accelerator=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert "fits: " in done.stdout.splitlines()[-1] + done.stdout.splitlines()[-2]
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert not any(tmp_path.iterdir())


def test_a_failure_is_the_exit_code(tmp_path: Path) -> None:
    done = run_doctor(f"paths.root={tmp_path}", f"model.path={tmp_path}/gone")
    assert done.returncode == 1
    assert "FAIL  model" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_plan_says_how_long_a_phase_takes() -> None:
    done = run_doctor("--plan", "--device=h100", "experiment=grpo_vstar", "--turns=2.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s a phase, 50 phases" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 100
