"""What do traces in MLflow cost a phase? Pairs of the same short training, with traces and without,
the order turned from pair to pair; the seconds of a phase are those that the run logs.

    python benchmarks/trace_cost.py --pairs 3 --phases 6

Prints, for each pair, seconds per phase (the first left out: it warms up) with and without, and the
median over pairs of their ratio; and the processor's seconds of all processes of a run, among which
is the one that sends traces.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient

OFF = ["callbacks.traces.max_traces=0", "callbacks.traces.max_val_traces=0"]


def measure(root: Path, name: str, said: list[str], *, phases: int) -> tuple[float, float]:
    """Median seconds of a phase, and processor seconds of the whole run."""
    run, before = root / name, _processor_s()
    words = [f"num_phases={phases}", f"paths.root={root}", f"paths.run={run}", "num_threads=1"]
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    subprocess.run(
        [sys.executable, "-m", "vigorl.train", *words, *said], check=True, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    spent = _processor_s() - before
    run_id = json.loads((run / "run.json").read_text())["mlflow_run_id"]
    client = MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")
    found = client.get_metric_history(run_id, "time/phase_s")
    seconds = [one.value for one in sorted(found, key=lambda one: one.step)]
    return statistics.median(seconds[1:]), spent


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--phases", type=int, default=6)
    parser.add_argument("settings", nargs="*", help="of the training")
    said = parser.parse_args()
    ratios, spent_ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(said.pairs):
            found: dict[str, tuple[float, float]] = {}
            kinds = {"with": [], "without": OFF}
            for kind in sorted(kinds, reverse=bool(pair % 2)):
                words = [*kinds[kind], *said.settings]
                found[kind] = measure(Path(folder), f"{kind}{pair}", words, phases=said.phases)
            (on, on_spent), (off, off_spent) = found["with"], found["without"]
            ratios.append(on / off)
            spent_ratios.append(on_spent / off_spent)
            print(
                f"pair {pair}: {on:.2f} s a phase with traces, {off:.2f} s without; processor "
                f"{on_spent:.0f} s and {off_spent:.0f} s", flush=True,
            )  # fmt: skip
    print(
        f"median ratio: {statistics.median(ratios):.3f} of a phase's time, "
        f"{statistics.median(spent_ratios):.3f} of the run's processor time"
    )


if __name__ == "__main__":
    main()
