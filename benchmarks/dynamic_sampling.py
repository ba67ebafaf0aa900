"""Phases and generated rollouts until a validation accuracy: plain GRPO against methods of groups.

    python benchmarks/dynamic_sampling.py --seeds 0 1 2 --out docs/dynamic_sampling [--jobs 8]

Same start, data and seeds on the tiny world. A run evaluates greedily every `--every` phases on
`--num-val` held-out questions, and stops at `--phases`. A run whose folder has its metrics is not
run again. Writes OUT.md (a table), OUT.json, OUT_phases.png and OUT_rollouts.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

from curves import Pairs, listed, mean_curve, percents, train_all
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
METRICS = ("val/accuracy", "groups/rollouts", "groups/flat_accuracy_frac")


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
    trainings = {
        (name, seed): [
            "experiment=grpo_vstar", *VARIANTS[name], f"seed={seed}", f"num_phases={asked.phases}",
            f"rollout.eval_every={asked.every}", f"data.num_val={asked.num_val}",
            f"name='{name}/{seed}'", *asked.overrides,
        ]
        for name in asked.only
        for seed in asked.seeds
    }  # fmt: skip
    found = train_all(asked.runs, trainings, METRICS, jobs=asked.jobs)
    write(
        {name: [read(found[name, seed], asked.target) for seed in asked.seeds]
         for name in asked.only},
        asked,
    )  # fmt: skip


def read(metrics: dict[str, Pairs], target: float) -> Outcome:
    """From the metrics of a run with one update per phase; a phase logs before its update."""
    spent = [0.0, *accumulate(value for _, value in metrics["groups/rollouts"])]
    curve = metrics["val/accuracy"]
    cost = [(spent[int(step)], accuracy) for step, accuracy in curve]
    reached = next((i for i, (_, accuracy) in enumerate(curve) if accuracy >= target), None)
    flat = [value for _, value in metrics["groups/flat_accuracy_frac"]]
    return Outcome(
        phases=None if reached is None else int(curve[reached][0]),
        rollouts=None if reached is None else int(cost[reached][0]),
        final=curve[-1][1],
        all_rollouts=int(spent[-1]),
        flat=statistics.fmean(flat[-max(len(flat) // 5, 1) :]),
        curve=curve,
        cost=cost,
    )


def write(found: dict[str, list[Outcome]], asked: argparse.Namespace) -> None:
    rows = [
        f"| {name} | {listed([one.phases for one in runs])} | "
        f"{listed([one.rollouts for one in runs])} | {percents([one.final for one in runs])} "
        f"(phase {min(int(one.curve[-1][0]) for one in runs)}) | "
        f"{statistics.fmean(one.all_rollouts for one in runs):.0f} | "
        f"{100 * statistics.fmean(one.flat for one in runs):.0f} % |"
        for name, runs in found.items()
    ]
    target = f"{100 * asked.target:.0f} %"
    head = (
        f"| method | phases until {target} | rollouts generated until then | "
        "at the last evaluation, % | rollouts in all | flat groups, last fifth |\n"
        "|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *rows])
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.with_suffix(".md").write_text(
        f"Made by `python benchmarks/dynamic_sampling.py --seeds {listed(asked.seeds, ' ')} "
        f"--phases {asked.phases} --num-val {asked.num_val}`: "
        f"greedy accuracy on {asked.num_val} held-out questions every {asked.every} phases; a "
        f"number per seed, - where it did not get there.\n\n{text}\n"
    )
    plain = {name: [asdict(one) for one in runs] for name, runs in found.items()}
    asked.out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    print(text)
    for kind, label in (("curve", "phases"), ("cost", "rollouts generated")):
        curves = {
            name: mean_curve([getattr(one, kind) for one in runs]) for name, runs in found.items()
        }
        plot_curves(
            curves,
            asked.out.with_name(f"{asked.out.name}_{label.split()[0]}.png"),
            title="Greedy accuracy on held-out questions, mean of the seeds",
            ylabel="val/accuracy", xlabel=label, is_share=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
