"""What do traces in MLflow cost a phase? Pairs of the same short training, with traces and without,
the order turned from pair to pair. Both compute the same, so each phase has its twin; the seconds
of a phase are those that the run logs.

    python benchmarks/trace_cost.py --pairs 3 --phases 8 data.num_val=32

Prints, for each pair, seconds per phase (the first left out: it warms up) and the processor's
seconds of all processes of a run, and of the one that sends traces; then the median ratio of a
phase's time with traces to its twin's without, with a 95 % interval (bootstrap over pairs of
phases), and what sending has taken of a processor per phase.
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
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from mlflow.tracking import MlflowClient

OFF = ["callbacks.traces.max_traces=0", "callbacks.traces.max_val_traces=0"]
_SENDER = "vigorl.outbox.follow"
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, in seconds: each phase but the first; its processes together, and the sender."""

    phases: list[float]
    processor: float
    sender: float
    num_traces: int


def measure(root: Path, name: str, said: list[str], *, phases: int) -> Cost:
    run, before = root / name, _processor_s()
    words = [f"num_phases={phases}", f"paths.root={root}", f"paths.run={run}", "num_threads=1"]
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    training = subprocess.Popen(
        [sys.executable, "-m", "vigorl.train", *words, *said], env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    sender, traces = 0.0, 0
    while training.poll() is None:
        sender = max(sender, _sender_s(training.pid))
        time.sleep(_LOOK_EVERY_S)
        journal = run / "mlflow_traces.jsonl"  # which goes when all is sent
        if journal.is_file():
            lines = [json.loads(line) for line in journal.read_text().splitlines()]
            traces = max(traces, sum(len(one["lines"]) for one in lines))
    if training.returncode:
        raise SystemExit(f"the training has failed: {run}/run.log")
    spent = _processor_s() - before
    run_id = json.loads((run / "run.json").read_text())["mlflow_run_id"]
    client = MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")
    found = client.get_metric_history(run_id, "time/phase_s")
    seconds = [one.value for one in sorted(found, key=lambda one: one.step)]
    return Cost(seconds[1:], spent, sender, traces)


def _sender_s(pid: int) -> float:
    """Processor seconds so far of the process that sends a training's traces."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            if _SENDER in child.cmdline():
                used = child.cpu_times()
                return used.user + used.system
    except psutil.NoSuchProcess:
        pass
    return 0.0


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--phases", type=int, default=8)
    parser.add_argument("settings", nargs="*", help="of the training")
    said = parser.parse_args()
    ratios: list[float] = []
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), "first", [*OFF, *said.settings], phases=1)  # draws the world
        for pair in range(said.pairs):
            found: dict[str, Cost] = {}
            kinds = {"with": [], "without": OFF}
            for kind in sorted(kinds, reverse=bool(pair % 2)):
                words = [*kinds[kind], *said.settings]
                found[kind] = measure(Path(folder), f"{kind}{pair}", words, phases=said.phases)
            on, off = found["with"], found["without"]
            ratios += [a / b for a, b in zip(on.phases, off.phases, strict=True)]
            shares.append(on.sender / said.phases / statistics.median(off.phases))
            print(
                f"pair {pair}: {statistics.median(on.phases):.2f} s a phase with traces, "
                f"{statistics.median(off.phases):.2f} s without; processor {on.processor:.1f} s "
                f"and {off.processor:.1f} s; {on.num_traces} traces were sent in {on.sender:.1f} s",
                flush=True,
            )
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    print(
        f"a phase with traces takes {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}] of the "
        f"time of one without ({len(ratios)} pairs of phases); sending takes "
        f"{statistics.median(shares):.3f} of a processor, its start with it"
    )


if __name__ == "__main__":
    main()
