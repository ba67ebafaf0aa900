"""What a tool is worth at the tiny scale: GRPO with it, and the same policy without.

    python benchmarks/tools_measured.py --seeds 0 1 2 --out docs/tools_measured [--tasks zoom_box]

Per task two arms with the same reward, questions, phases and rollouts. "Without" is either the same
start, whose tool replies with grey pictures (zoom_box, draw_then_read), or as many pictures as one
who chooses may see, picked by a fixed rule, from a start that was taught to answer from those
(views, frames). Starts are made by the runs where they are missing. A run whose folder has its
metrics is not run again, and what has not been run for a seed is left out with `--ready`. Writes
OUT.md, OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from curves import Pairs, listed, mean_curve, paired_interval, percents, train_all
from plots import plot_curves

METRICS = ("val/accuracy", "val/turns_mean")
ONE_SIGN = "data.comparison_frac=0.0"  # as in all other tasks
Found = dict[str, list[dict[str, Pairs]]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is compared.

    Attributes:
        title: In the table.
        arms: With the tool, then without: their names and their command lines.
        chance: Share of right answers of one who guesses.
    """

    title: str
    arms: dict[str, tuple[str, ...]]
    chance: float


TASKS = {
    "zoom_box": Task(
        "zoom into a box",
        {
            "its crops": ("experiment=grpo_zoom_box", ONE_SIGN),
            "grey crops": ("experiment=grpo_zoom_box", ONE_SIGN, "tools=[zoom_box_blind]"),
        },
        1 / 4,
    ),
    "frames": Task(
        "choose frames",
        {
            "chosen, 6 at most": ("experiment=grpo_frames", "env.limits.max_images=6"),
            "6 even ones": ("experiment=grpo_frames", "data=made_clips_even", "env=clips_reply"),
        },
        1 / 4,
    ),
    "views": Task(
        "choose a picture",
        {
            "chosen, 5 at most": ("experiment=grpo_views",),
            "5 fixed ones": ("experiment=grpo_views", "data=made_views_fixed", "env=clips_reply"),
        },
        1 / 4,
    ),
    "draw_then_read": Task(
        "draw, then read",
        {
            "its drawings": ("experiment=grpo_draw_then_read",),
            "grey drawings": ("experiment=grpo_draw_then_read", "tools=[draw_line_close_blind]"),
        },
        1 / 4,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=16, help="of a phase, with 8 rollouts each")
    parser.add_argument("--every", type=int, default=10, help="phases between evaluations")
    parser.add_argument("--num-val", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--root", type=Path, default=Path("outputs/tools_measured"))
    parser.add_argument("--ready", action="store_true", help="train nothing, tell what there is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", help="of every run, such as plan.group_size=4")
    asked = parser.parse_args()
    rows, curves, plain = [], dict[str, Pairs](), dict[str, object]()
    for name in asked.tasks:
        seeds, found = measured(name, asked)
        if not seeds:
            continue
        rows += rows_of(TASKS[name], found, seeds)
        for arm, runs in found.items():
            curves[f"{TASKS[name].title}: {arm}"] = mean_curve([r["val/accuracy"] for r in runs])
            plain |= {f"{name}/{arm}/{s}": run for s, run in zip(seeds, runs, strict=True)}
    write(asked, rows, curves, plain)


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
            f"plan.sequences_per_update={8 * asked.prompts}",
            f"data.num_train={asked.prompts * asked.phases}", *asked.overrides,
        )
        for seed in seeds
        for arm, words in arms.items()
    }  # fmt: skip
    found = train_all(root, runs, METRICS, jobs=asked.jobs)
    return seeds, {arm: [found[arm, seed] for seed in seeds] for arm in arms}


def rows_of(task: Task, found: Found, seeds: list[int]) -> list[str]:
    """A row per arm; the second says by how much the first is ahead of it."""
    rows, finals = [], list[list[float]]()
    for arm, runs in found.items():
        starts = [run["val/accuracy"][0][1] for run in runs]
        finals.append([run["val/accuracy"][-1][1] for run in runs])
        turns = ", ".join(f"{run['val/turns_mean'][-1][1]:.2f}" for run in runs)
        ahead = ""
        if len(finals) == 2:
            ahead = paired_interval([a - b for a, b in zip(*finals, strict=True)])
        rows.append(
            f"| {task.title} | {arm} | {listed(seeds)} | {percents(starts)} "
            f"| {percents(finals[-1])} | {turns} | {ahead} | {100 * task.chance:.0f} |"
        )
    return rows


def write(
    asked: argparse.Namespace, rows: list[str], curves: dict[str, Pairs], plain: dict[str, object]
) -> None:
    head = (
        "| task | the policy sees | seeds | SFT start, % | after GRPO, % | turns at the end "
        "| with less without, points [95 %, t over seeds] | guessing, % |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *rows])
    print(text)
    asked.out.with_suffix(".md").write_text(text + "\n")
    asked.out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    plot_curves(
        curves,
        asked.out.with_suffix(".png"),
        title=f"Greedy accuracy on {asked.num_val} held-out questions, mean of the seeds",
        ylabel="val/accuracy", xlabel="phases", is_share=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
