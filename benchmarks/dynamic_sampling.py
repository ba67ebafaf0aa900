"""Phases and generated rollouts until a validation accuracy: plain GRPO against methods of groups.

    python benchmarks/dynamic_sampling.py --seeds 0 1 2 --out docs/dynamic_sampling [--jobs 8]

Same start, data and seeds on the tiny world. A run evaluates greedily every `--every` phases on
`--num-val` held-out questions, and stops at `--phases`. A run whose folder has its metrics is not
run again. Writes OUT.md (a table), OUT.json, OUT_phases.png and OUT_rollouts.png.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient
from plots import plot_curves

VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "drop flat": ("groups=drop_flat",),
    # the paper's number of prompts in a round, and as few as it can be
    "dynamic, x3": ("groups=dynamic_sampling",),
    "dynamic, missing": (
        "groups=dynamic_sampling", "groups.oversample=1", "groups.refill=missing",
    ),
    "planned (ratio EMA)": ("groups=ratio_ema",),
    "ranked by spread": ("groups=spread_ranking",),
    "replay": ("groups=replay",),
    "solve rates": ("sampler=solve_rate",),
}  # fmt: skip
Pairs = list[tuple[float, float]]


@dataclass(frozen=True)
class Outcome:
    """What one run needed; None where it did not get there.

    Attributes:
        phases: Until the accuracy, the first evaluation at or above it.
        rollouts: Generated until then.
        final: Accuracy of the last evaluation.
        all_rollouts: Generated in all.
        flat: Share of groups of equal accuracy over the last fifth of the phases.
        curve: (phases done, accuracy).
        cost: (rollouts generated, accuracy).
    """

    phases: int | None
    rollouts: int | None
    final: float
    all_rollouts: int
    flat: float
    curve: Pairs
    cost: Pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("outputs/dynamic_sampling/table"))
    parser.add_argument("--runs", type=Path, default=Path("outputs/dynamic_sampling/runs"))
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--phases", type=int, default=50)
    parser.add_argument("--every", type=int, default=2, help="phases between evaluations")
    parser.add_argument("--num-val", type=int, default=500)
    parser.add_argument("--target", type=float, default=0.8)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("overrides", nargs="*", help="of every run, key=value")
    asked = parser.parse_args()
    runs = [(name, seed) for name in asked.only for seed in asked.seeds]
    # the world is made once, before runs share it
    train(*runs[0], asked)
    with ThreadPoolExecutor(asked.jobs) as pool:
        for _ in pool.map(lambda run: train(*run, asked), runs[1:]):
            pass
    found = {
        name: [read(folder_of(asked.runs, name, seed), asked.target) for seed in asked.seeds]
        for name in asked.only
    }
    write(found, asked)


def folder_of(runs: Path, name: str, seed: int) -> Path:
    return runs / f"{'_'.join(name.replace(',', '').split())}_{seed}"


def train(name: str, seed: int, asked: argparse.Namespace) -> None:
    folder = folder_of(asked.runs, name, seed)
    if (folder / "metrics.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "vigorl.train", "experiment=grpo_vstar", *VARIANTS[name],
        f"seed={seed}", f"num_phases={asked.phases}", f"rollout.eval_every={asked.every}",
        f"data.num_val={asked.num_val}", "num_threads=1", "callbacks.rollout_logger.every=1000",
        f"paths.run='{folder}/run'", f"name='{name}/{seed}'",
        f"logger.tracking_uri='sqlite:///{folder.resolve()}/mlflow.db'", *asked.overrides,
    ]  # fmt: skip
    print("$", " ".join(command), flush=True)
    with (folder / "log.txt").open("w") as log:
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=env, stdout=log, stderr=subprocess.STDOUT)
    (folder / "metrics.json").write_text(json.dumps(history(folder)))


def history(folder: Path) -> dict[str, Pairs]:
    """The metrics that the table needs, by updates done."""
    client = MlflowClient(f"sqlite:///{folder.resolve()}/mlflow.db")
    run = json.loads((folder / "run" / "run.json").read_text())["mlflow_run_id"]
    names = ("val/accuracy", "groups/generated", "groups/flat_accuracy_frac", "phase")
    return {
        name: sorted((point.step, point.value) for point in client.get_metric_history(run, name))
        for name in names
    }


def read(folder: Path, target: float, *, per_phase: int = 32, group_size: int = 8) -> Outcome:
    """From the metrics of a run with one update per phase.

    Args:
        folder: Of the run.
        target: Accuracy.
        per_phase: Groups of a phase that does not say how many it has generated.
        group_size: Rollouts of a group.
    """
    metrics = json.loads((folder / "metrics.json").read_text())
    flat = metrics["groups/flat_accuracy_frac"]
    generated = dict(metrics["groups/generated"])  # a phase logs before its update
    spent = [0.0]
    for step, _ in flat:
        spent.append(spent[-1] + group_size * generated.get(step, per_phase))
    curve = metrics["val/accuracy"]
    cost = [(spent[int(step)], accuracy) for step, accuracy in curve]
    reached = next((i for i, (_, accuracy) in enumerate(curve) if accuracy >= target), None)
    late = [value for _, value in flat[-max(len(flat) // 5, 1) :]]
    return Outcome(
        phases=None if reached is None else int(curve[reached][0]),
        rollouts=None if reached is None else int(cost[reached][0]),
        final=curve[-1][1],
        all_rollouts=int(spent[-1]),
        flat=statistics.fmean(late),
        curve=curve,
        cost=cost,
    )


def write(found: dict[str, list[Outcome]], asked: argparse.Namespace) -> None:
    rows = [
        f"| {name} | {listed([one.phases for one in runs])} | "
        f"{listed([one.rollouts for one in runs])} | {percents([one.final for one in runs])} | "
        f"{statistics.fmean(one.all_rollouts for one in runs):.0f} | "
        f"{100 * statistics.fmean(one.flat for one in runs):.0f} % |"
        for name, runs in found.items()
    ]
    target = f"{100 * asked.target:.0f} %"
    head = (
        f"| method | phases until {target} | rollouts generated until then | after "
        f"{asked.phases} phases, % | rollouts in all | flat groups, last fifth |\n"
        "|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *rows])
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.with_suffix(".md").write_text(
        f"Made by `python benchmarks/dynamic_sampling.py --seeds {listed(asked.seeds, ' ')}`: "
        f"greedy accuracy on {asked.num_val} held-out questions every {asked.every} phases; a "
        f"number per seed, - where it did not get there.\n\n{text}\n"
    )
    plain = {name: [asdict(one) for one in runs] for name, runs in found.items()}
    asked.out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    print(text)
    for kind, label in (("curve", "phases"), ("cost", "rollouts generated")):
        plot_curves(
            {name: mean_curve([getattr(one, kind) for one in runs]) for name, runs in found.items()},
            asked.out.with_name(f"{asked.out.name}_{label.split()[0]}.png"),
            title="Greedy accuracy on held-out questions, mean of the seeds",
            ylabel="val/accuracy", xlabel=label, is_share=True,
        )  # fmt: skip


def mean_curve(curves: Sequence[Pairs]) -> Pairs:
    """The mean over seeds of both numbers of each evaluation."""
    return [
        (statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points))
        for points in zip(*curves, strict=True)
    ]


def listed(values: Sequence[int | None], between: str = ", ") -> str:
    return between.join("-" if value is None else str(value) for value in values)


def percents(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


if __name__ == "__main__":
    main()
