"""A reward that makes a policy give up its tool, the alarm, and what a guard does about it.

    python benchmarks/tool_collapse.py --seeds 0 1 2 --phases 20 --out docs/tool_collapse [--jobs 2]

Four arms on the same start, questions and seeds:

    plain      reward=grounded_zoom: looking pays by being right
    price      reward=tool_price: each look costs, guard=warn only says so
    bonus      the same price; the guard switches to DeepEyes' bonus for looks in right answers
    curiosity  the same price; the guard switches to a bonus while few of a group look

The cold start looks in 4 % of its rollouts, so the alarm (under 5 %) goes off in the first phase of
every arm. It has to be early: with 12 prompts x 8 rollouts a phase and an alarm after two phases
under half of the best, 5 of 96 rollouts still looked, and the bonus did not bring the tool back.

Writes OUT.md and OUT.json: per arm and seed the phase of the alarm, and the share of training
rollouts that zoom and their accuracy at the start and over the last phases; OUT_zoomed.png and
OUT_accuracy.png draw both by phase. A run whose folder has its metrics is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from curves import Pairs, listed, mean_curve, percents, train_all
from plots import plot_curves

PRICE = "reward=tool_price"
ARMS = {
    "plain": ("reward=grounded_zoom", "guard=warn"),
    "price": (PRICE, "guard=warn"),
    "bonus": (PRICE, "guard=switch", "reward@guard.reward=deepeyes"),
    "curiosity": (PRICE, "guard=switch", "reward@guard.reward=curiosity"),
}
ZOOMED, ACCURACY, ALARM = "rollout/zoomed_frac", "rollout/accuracy", "guard/alarm"
LAST = 4  # phases over which "at the end" is the mean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="made_world_cold", help="a choice of configs/data")
    parser.add_argument("--phases", type=int, default=20)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--patience", type=int, default=1, help="low phases before the alarm")
    parser.add_argument("--below", type=float, default=0.75, help="low: this share of the best")
    parser.add_argument("--runs", type=Path, default=Path("outputs/tool_collapse/runs"))
    parser.add_argument("--out", type=Path, default=Path("outputs/tool_collapse/table"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("overrides", nargs="*", help="of every run, such as plan.group_size=8")
    asked = parser.parse_args()
    trainings = {
        (arm, seed): [
            "experiment=grpo_vstar", f"data={asked.data}", f"seed={seed}",
            f"num_phases={asked.phases}", *settings, f"guard.patience={asked.patience}",
            f"guard.below_best_frac={asked.below}", f"name='collapse_{arm}/{seed}'",
            *asked.overrides,
        ]
        for seed in asked.seeds
        for arm, settings in ARMS.items()
    }  # fmt: skip
    found = train_all(asked.runs, trainings, (ZOOMED, ACCURACY, ALARM), jobs=asked.jobs)
    write({arm: [found[arm, seed] for seed in asked.seeds] for arm in ARMS}, asked)


def write(arms: dict[str, list[dict[str, Pairs]]], asked: argparse.Namespace) -> None:
    rows = [
        f"| {arm} | {listed([alarm_of(run) for run in runs])} | "
        + " | ".join(
            f"{percents([run[metric][0][1] for run in runs])} -> "
            f"{percents([at_the_end(run[metric]) for run in runs])}"
            for metric in (ZOOMED, ACCURACY)
        )
        + " |"
        for arm, runs in arms.items()
    ]
    head = (
        "| arm | alarm in phase | rollouts that zoom, % | right, % |\n|---|---|---|---|"
    )  # fmt: skip
    text = "\n".join([head, *rows])
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    more = " ".join([*map(str, asked.seeds), *asked.overrides])
    asked.out.with_suffix(".md").write_text(
        f"Made by `python benchmarks/tool_collapse.py --data {asked.data} --phases {asked.phases} "
        f"--seeds {more}`: training rollouts of the first phase and of the last {LAST}; a number "
        f"per seed.\n\n{text}\n\n![]({asked.out.name}_zoomed.png)\n"
    )
    asked.out.with_suffix(".json").write_text(json.dumps(arms, indent=1))
    print(text)
    for metric, title in ((ZOOMED, "Rollouts that zoom"), (ACCURACY, "Right answers")):
        kind = metric.rpartition("/")[2].removesuffix("_frac")
        path = plot_curves(
            {
                arm: mean_curve([by_phase(run[metric]) for run in runs])
                for arm, runs in arms.items()
            },
            asked.out.with_name(f"{asked.out.name}_{kind}.png"),
            title=f"{title}, by reward and guard, mean of the seeds",
            ylabel="share of training rollouts",
            xlabel="phase",
            is_share=True,
        )
        print(path)


def alarm_of(run: dict[str, Pairs]) -> int | None:
    """The phase in which it went off first, from 0."""
    return next((phase for phase, (_, is_on) in enumerate(run[ALARM]) if is_on), None)


def at_the_end(pairs: Pairs) -> float:
    return statistics.fmean(value for _, value in pairs[-LAST:])


def by_phase(pairs: Sequence[tuple[float, float]]) -> Pairs:
    return [(float(phase), value) for phase, (_, value) in enumerate(pairs)]


if __name__ == "__main__":
    main()
