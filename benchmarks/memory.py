"""Does a long run keep its size? What the process of a training holds after each of many phases.

    python benchmarks/memory.py [phases=300] [skip=50] [OVERRIDE ...]

One training of the tiny scale with small phases (eight rollouts) and picture caches that are full
before `skip` phases are over, in a process of its own. Printed are `perf/memory_gib` at a few
phases and its slope over those after `skip`, in KiB per phase, with a 95 % interval: blocks of ten
phases are resampled, since neighbours are alike. A leak of one picture per phase (600 KiB) is far
outside the interval of a run that keeps its size.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, quantiles

from mlflow import MlflowClient

JOB = [
    "experiment=grpo_vstar", "num_threads=1", "trainer.accelerator=cpu", "data.num_train=256",
    "data.num_val=8", "data.num_test=8", "plan.prompts_per_phase=2", "plan.group_size=4",
    "plan.sequences_per_update=8", "plan.micro_batch_size=4", "pixels.cache_bytes=33554432",
    "rollout.eval_every=50", "callbacks.checkpoint.every=50", "callbacks.traces.max_traces=0",
]  # fmt: skip
METRIC, BLOCK, DRAWS = "perf/memory_gib", 10, 1000


def main() -> None:
    words = dict(one.split("=", 1) for one in sys.argv[1:])
    phases, skip = int(words.pop("phases", 300)), int(words.pop("skip", 50))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-m", "vigorl.train", *JOB, f"num_phases={phases}"]
        command += [f"{key}={value}" for key, value in words.items()]
        subprocess.run(
            [*command, f"paths.root={folder}", f"paths.base={run}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        held = read_held(Path(folder))
    for phase in sorted({1, 10, skip, *range(skip, phases + 1, 50)}):
        print(f"phase {phase:4d}: {held[phase - 1] * 1024:7.1f} MiB")
    low, high = interval(held[skip:])
    print(
        f"slope over phases {skip + 1} to {len(held)}: {slope(held[skip:]):+.1f} KiB per phase "
        f"[{low:+.1f}, {high:+.1f}]"
    )


def read_held(root: Path) -> list[float]:
    """GiB after each phase, as the run has sent them to MLflow."""
    client = MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")
    (run,) = client.search_runs(["1"])
    found = client.get_metric_history(run.info.run_id, METRIC)
    return [one.value for one in sorted(found, key=lambda one: one.step)]


def slope(held: Sequence[float]) -> float:
    """KiB per phase."""
    return linear_regression(range(len(held)), held).slope * 2**20


def interval(held: Sequence[float]) -> tuple[float, float]:
    """Of the slope, from blocks of what the line leaves over, drawn again and put back on it."""
    line = linear_regression(range(len(held)), held)
    left = [one - line.slope * i - line.intercept for i, one in enumerate(held)]
    blocks = [left[i : i + BLOCK] for i in range(len(left) - BLOCK + 1)]
    dice, slopes = random.Random(0), list[float]()
    for _ in range(DRAWS):
        drawn = [one for _ in range(-(-len(held) // BLOCK)) for one in dice.choice(blocks)]
        slopes.append(slope(drawn[: len(held)]) + line.slope * 2**20)
    cuts = quantiles(slopes, n=40)
    return cuts[0], cuts[-1]


if __name__ == "__main__":
    main()
