"""A reward that makes a policy give up its tool, the alarm, and what a guard does about it.

    python benchmarks/tool_collapse.py --data made_world_cold --phases 50 --out docs/figures

Four runs from one start, on the same questions and seeds:

    plain      reward=grounded_zoom: looking pays by being right
    price      reward=tool_price: each look costs, guard=warn only says so
    bonus      the same price; the guard switches to DeepEyes' bonus for looks in right answers
    curiosity  the same price; the guard switches to a bonus while few of a group look

The alarm has to go off early: at two phases under half of the best, with 12 prompts x 8 rollouts a
phase on made_world_cold, 5 of 96 rollouts still looked, and the bonus did not bring the tool back.

Prints, per arm, the share of rollouts that zoom and the accuracy of the training rollouts at the
start, at the alarm and at the end, and draws both by phase. Every run goes into one MLflow store
under --root, where a finished arm is not run again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from mlflow.tracking import MlflowClient
from plots import plot_curves

PRICE = "reward=tool_price"
ARMS = {
    "plain": ("reward=grounded_zoom", "guard=warn"),
    "price": (PRICE, "guard=warn"),
    "bonus": (PRICE, "guard=switch", "reward@guard.reward=deepeyes"),
    "curiosity": (PRICE, "guard=switch", "reward@guard.reward=curiosity"),
}
ZOOMED, ACCURACY, ALARM = "rollout/zoomed_frac", "rollout/accuracy", "guard/alarm"
History = list[tuple[float, float]]  # (phase, value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="made_world", help="a choice of configs/data")
    parser.add_argument("--phases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=int, default=1, help="low phases before the alarm")
    parser.add_argument("--below", type=float, default=0.75, help="low: this share of the best")
    parser.add_argument("--root", type=Path, default=Path("outputs/tool_collapse"))
    parser.add_argument("--out", type=Path, help="folder of the two figures; default: --root")
    parser.add_argument("more", nargs="*", help="settings of all arms, such as plan.group_size=8")
    given = parser.parse_args(arguments)
    arms: dict[str, dict[str, History]] = {}
    for arm, settings in ARMS.items():
        name = f"collapse_{arm}_{given.data}"
        if not has_run(given.root, name, seed=given.seed):
            train(
                given.root,
                f"name={name}",
                f"data={given.data}",
                f"seed={given.seed}",
                f"num_phases={given.phases}",
                *settings,
                f"guard.patience={given.patience}",
                f"guard.below_best_frac={given.below}",
                *given.more,
            )
        arms[arm] = histories(given.root, name, seed=given.seed)
    print(table(arms))
    out = given.out or given.root
    for metric, title in ((ZOOMED, "Rollouts that zoom"), (ACCURACY, "Right answers")):
        path = plot_curves(
            {arm: found[metric] for arm, found in arms.items()},
            out / f"tool_collapse_{metric.rpartition('/')[2]}.png",
            title=f"{title}, by reward and guard",
            ylabel="share of training rollouts",
            xlabel="phase",
            is_share=True,
        )
        print(path)


def train(root: Path, *settings: str) -> None:
    """One run, in a process of its own."""
    command = [sys.executable, "-m", "vigorl.train", "experiment=grpo_vstar", *settings]
    print(" ".join(command[2:]), flush=True)
    subprocess.run([*command, f"paths.root={root}"], check=True, env=own_environment())


def own_environment() -> dict[str, str]:
    """Without a store or a folder of somebody else."""
    left_out = ("MLFLOW_TRACKING_URI", "VIGORL_ROOT")
    return {key: value for key, value in os.environ.items() if key not in left_out}


def client_of(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")


def run_of(root: Path, name: str, *, seed: int) -> str | None:
    """The id of a finished run, or None."""
    client = client_of(root)
    found = client.search_runs(
        [one.experiment_id for one in client.search_experiments()],
        filter_string=f"attributes.status = 'FINISHED' and run_name = '{name}, seed {seed}'",
    )
    return found[0].info.run_id if found else None


def has_run(root: Path, name: str, *, seed: int) -> bool:
    store = root / "outputs" / "mlflow.db"
    return store.exists() and run_of(root, name, seed=seed) is not None


def histories(root: Path, name: str, *, seed: int) -> dict[str, History]:
    """What was measured of the training rollouts of each phase, in order."""
    run = run_of(root, name, seed=seed)
    assert run is not None
    client = client_of(root)
    found = {}
    for metric in (ZOOMED, ACCURACY, ALARM):
        values = sorted(client.get_metric_history(run, metric), key=lambda one: one.step)
        found[metric] = [(float(phase), one.value) for phase, one in enumerate(values)]
    return found


def table(arms: dict[str, dict[str, History]]) -> str:
    """Markdown: per arm, zoom rate and accuracy at the start, at the alarm and at the end."""
    lines = [
        "| arm | alarm in phase | zoomed, accuracy: start | alarm | end |",
        "|---|---|---|---|---|",
    ]
    for arm, found in arms.items():
        alarm = next((int(phase) for phase, is_on in found[ALARM] if is_on), None)

        def at(phase: int | None, found: dict[str, History] = found) -> str:
            if phase is None:
                return "-"
            return f"{found[ZOOMED][phase][1]:.3f}, {found[ACCURACY][phase][1]:.3f}"

        said = "none" if alarm is None else str(alarm)
        lines.append(f"| {arm} | {said} | {at(0)} | {at(alarm)} | {at(-1)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
