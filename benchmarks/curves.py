"""Trainings in a folder each, with a store of their own, and the metrics they have logged."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from vigorl.callbacks.mlflow_logger import shown_name

Pairs = list[tuple[float, float]]
Run = tuple[str, int]  # (variant, seed)


def train_all(
    root: Path,
    runs: Mapping[Run, Sequence[str]],
    names: Sequence[str],
    *,
    jobs: int,
    path: Sequence[str] = (),
) -> dict[Run, dict[str, Pairs]]:
    """`train` for the overrides of every variant and seed, `jobs` at a time, in folders of ROOT."""

    def one(run: Run) -> dict[str, Pairs]:
        variant, seed = run
        folder = root / f"{'_'.join(variant.replace(',', '').split())}_{seed}"
        return train(folder, runs[run], names, path=path)

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(runs, pool.map(one, runs), strict=True))


def train(
    folder: Path, overrides: Sequence[str], names: Sequence[str], *, path: Sequence[str] = ()
) -> dict[str, Pairs]:
    """Metrics of a training on one thread, by updates done; run unless they are there.

    Args:
        folder: FOLDER/run, FOLDER/mlflow.db, FOLDER/log.txt and FOLDER/metrics.json.
        overrides: Of the command line.
        names: Metrics.
        path: Folders of further modules.
    Raises:
        CalledProcessError: It failed; the log says why.
    """
    done = folder / "metrics.json"
    if not done.exists():
        quiet = ["callbacks.rollout_logger.every=1000", "callbacks.rollout_logger.tokens=false"]
        _run("vigorl.train", folder, [*overrides, *quiet], path=path)
        done.write_text(json.dumps(_history(folder, names)))
    return {
        name: [(x, y) for x, y in pairs] for name, pairs in json.loads(done.read_text()).items()
    }


def evaluate(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The report of an evaluation on one thread; run unless it is there.

    Args:
        folder: FOLDER/run with report.json, FOLDER/mlflow.db and FOLDER/log.txt.
        overrides: Of the command line.
    Raises:
        CalledProcessError: It failed; the log says why.
    """
    report = folder / "run" / "report.json"
    if not report.exists():
        _run("vigorl.evaluate", folder, overrides)
    return json.loads(report.read_text())


def _run(door: str, folder: Path, words: Sequence[str], *, path: Sequence[str] = ()) -> None:
    """A door's run in FOLDER/run, which sends no traces."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", door, f"paths.run='{folder}/run'", *words, "num_threads=1",
        f"logger.tracking_uri='sqlite:///{folder.resolve()}/mlflow.db'",
        "callbacks.traces.max_traces=0", "callbacks.traces.max_val_traces=0",
    ]  # fmt: skip
    print("$", " ".join(command), flush=True)
    modules = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(modules)}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, check=True, env=env, stdout=log, stderr=subprocess.STDOUT)


def _history(folder: Path, names: Sequence[str]) -> Mapping[str, Pairs]:
    client = MlflowClient(f"sqlite:///{folder.resolve()}/mlflow.db")
    run = json.loads((folder / "run" / "run.json").read_text())["mlflow_run_id"]
    return {
        name: sorted(
            (point.step, point.value) for point in client.get_metric_history(run, shown_name(name))
        )
        for name in names
    }


def mean_curve(curves: Sequence[Pairs]) -> Pairs:
    """The mean over seeds of both numbers of each evaluation."""
    return [
        (statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points))
        for points in zip(*curves, strict=True)
    ]


def listed(values: Sequence[int | None], between: str = ", ") -> str:
    """A cell of a table with a number per seed."""
    return between.join("-" if value is None else str(value) for value in values)


def percents(shares: Sequence[float]) -> str:
    """A cell of a table with a share per seed, in per cent."""
    return ", ".join(f"{100 * share:.1f}" for share in shares)


T_975 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def paired_interval(differences: Sequence[float]) -> str:
    """A cell with the mean over seeds of a difference of shares, in points, and its 95 % interval
    by Student's t where there are 2 to 10 seeds.
    """
    mean = 100 * statistics.fmean(differences)
    if len(differences) not in T_975:
        return f"{mean:+.1f}"
    half = T_975[len(differences)] * 100 * statistics.stdev(differences)
    half /= math.sqrt(len(differences))
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"
