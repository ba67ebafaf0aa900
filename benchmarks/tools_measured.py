"""What a tool is worth at the tiny scale: GRPO with it, and the same policy without.

    python benchmarks/tools_measured.py --seeds 0 1 2 --out docs/tools_measured [--tasks zoom_box]

Per task two arms with the same reward, questions, phases and rollouts. "Without" is either the same
start, whose tool replies with grey pictures (zoom_box, draw_then_read), or as many pictures as one
who chooses may see, picked by a fixed rule, from a start that was taught to answer from those
(views, frames). Starts are made by the runs where they are missing. A run whose folder has its
metrics is not run again; with `--ready` nothing is, and seeds of which an arm is missing are left
out. Prints the table of docs/tools_measured.md and writes OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from curves import Pairs, listed, paired_interval, percents, train_all
from plots import plot_bars_with_intervals

METRICS = ("val/accuracy", "val/turns_mean")
CHANCE = 1 / 4  # all questions have four options
ONE_SIGN = "data.comparison_frac=0.0"  # as in all other tasks
Found = dict[str, list[dict[str, Pairs]]]  # of each arm, per seed
Bars = dict[str, tuple[float, float, float]]  # of each bar, the mean, the least and the most


@dataclass(frozen=True, slots=True)
class Task:
    """What is compared.

    Attributes:
        title: In the table.
        arms: With the tool, then without: their names and their command lines.
    """

    title: str
    arms: dict[str, tuple[str, ...]]


TASKS = {
    "zoom_box": Task(
        "zoom into a box",
        {
            "its crops": ("experiment=grpo_zoom_box", ONE_SIGN),
            "grey crops": ("experiment=grpo_zoom_box", ONE_SIGN, "tools=[zoom_box_blind]"),
        },
    ),
    "frames": Task(
        "choose frames",
        {
            "chosen, 6 at most": ("experiment=grpo_frames", "env.limits.max_images=6"),
            "6 even ones": ("experiment=grpo_frames", "data=made_clips_even", "env=clips_reply"),
        },
    ),
    "views": Task(
        "choose a picture",
        {
            "chosen, 5 at most": ("experiment=grpo_views",),
            "5 fixed ones": ("experiment=grpo_views", "data=made_views_fixed", "env=clips_reply"),
        },
    ),
    "draw_then_read": Task(
        "draw, then read",
        {
            "its drawings": ("experiment=grpo_draw_then_read",),
            "grey drawings": ("experiment=grpo_draw_then_read", "tools=[draw_line_close_blind]"),
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=6)
    parser.add_argument("--prompts", type=int, default=16, help="of a phase, with 8 rollouts each")
    parser.add_argument("--every", type=int, default=6, help="phases between evaluations")
    parser.add_argument("--num-val", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--root", type=Path, default=Path("outputs/tools_measured"))
    parser.add_argument("--ready", action="store_true", help="train nothing, tell what there is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", help="of every run, such as plan.group_size=4")
    asked = parser.parse_args()
    rows, bars, plain = [], Bars(), dict[str, object]()
    for name in asked.tasks:
        seeds, found = measured(name, asked)
        if not seeds:
            continue
        rows += rows_of(TASKS[name], found, seeds)
        bars |= bars_of(TASKS[name], found)
        for arm, runs in found.items():
            plain |= {f"{name}/{arm}/{s}": run for s, run in zip(seeds, runs, strict=True)}
    write(asked, rows, bars, plain)


def measured(name: str, asked: argparse.Namespace) -> tuple[list[int], Found]:
    """The seeds of which every arm is there, and what each has logged, in that order."""
    arms, seeds, root = TASKS[name].arms, list(asked.seeds), asked.root / name
    if asked.ready:
        done = {path.parent.name for path in root.glob("*/metrics.json")}
        counts = [sum(one.endswith(f"_{seed}") for one in done) for seed in seeds]
        seeds = [s for s, count in zip(seeds, counts, strict=True) if count == len(arms)]
    runs = {
        (arm, seed): (
            *words, f"seed={seed}", f"num_phases={asked.phases}", f"name='{name}/{seed}'",
            f"rollout.eval_every={asked.every}", f"data.num_val={asked.num_val}",
            f"plan.prompts_per_phase={asked.prompts}", "data.num_test=16",
            f"plan.sequences_per_update={8 * asked.prompts}", "optimizer.lr=5e-4",
            f"data.num_train={asked.prompts * asked.phases}", *asked.overrides,
        )
        for seed in seeds
        for arm, words in arms.items()
    }  # fmt: skip
    found = train_all(root, runs, METRICS, jobs=asked.jobs)
    return seeds, {arm: [found[arm, seed] for seed in seeds] for arm in arms}


def accuracies(runs: list[dict[str, Pairs]], evaluation: int) -> list[float]:
    """Of each seed, at the first evaluation or the last."""
    return [run["val/accuracy"][evaluation][1] for run in runs]


def rows_of(task: Task, found: Found, seeds: list[int]) -> list[str]:
    """A row per arm; the first says how far it is ahead of the second."""
    tool, without = (accuracies(runs, -1) for runs in found.values())
    ahead = paired_interval([a - b for a, b in zip(tool, without, strict=True)])
    rows = []
    for arm, runs in found.items():
        turns = ", ".join(f"{run['val/turns_mean'][-1][1]:.2f}" for run in runs)
        rows.append(
            f"| {task.title} | {arm} | {listed(seeds)} | {percents(accuracies(runs, 0))} "
            f"| {percents(accuracies(runs, -1))} | {'' if rows else ahead} | {turns} |"
        )
    return rows


def bars_of(task: Task, found: Found) -> Bars:
    """The start and the end of the arm with the tool, and the end of the other: mean and range."""
    with_tool, without = found.items()
    scores = {
        f"{task.title}: SFT start": accuracies(with_tool[1], 0),
        f"GRPO, {with_tool[0]}": accuracies(with_tool[1], -1),
        f"GRPO, {without[0]}": accuracies(without[1], -1),
    }
    return {n: (statistics.fmean(found), min(found), max(found)) for n, found in scores.items()}


def write(asked: argparse.Namespace, rows: list[str], bars: Bars, plain: dict[str, object]) -> None:
    head = (
        "| task | the policy sees | seeds | SFT start, % | after GRPO, % "
        "| ahead of the arm without, points [95 %, t over seeds] | turns at the end |\n"
        "|---|---|---|---|---|---|---|"
    )
    print("\n".join([head, *rows]))
    asked.out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    plot_bars_with_intervals(
        bars,
        asked.out.with_suffix(".png"),
        title=f"Greedy accuracy on {asked.num_val} held-out questions",
        xlabel="mean of the seeds, from the least to the most", chance=CHANCE,
        highlight=[name for i, name in enumerate(bars) if i % 3 == 1],
    )  # fmt: skip


if __name__ == "__main__":
    main()
