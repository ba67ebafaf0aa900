"""What a tool is worth at the tiny scale: GRPO with it, and the same policy shown grey.

    python benchmarks/tools_measured.py --seeds 0 1 2 --out docs/tools_measured [--tasks zoom_box]

Per task and seed one training, from a start that was taught to call the tool and that the run makes
where it is missing. What it has learned then answers the same questions once more while each
picture that its tool replies with is grey: sizes and words stay, and only what is seen is missing.
A run whose folder has its metrics is not run again; with `--ready` nothing is trained, and what is
missing is left out. Prints the table of docs/tools_measured.md and writes OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from curves import evaluate, paired_interval, percents, train_all
from plots import plot_bars_with_intervals

METRICS = ("val/accuracy", "val/turns_mean")
CHANCE = 1 / 4  # all questions have four options
Bars = dict[str, tuple[float, float, float]]  # of each bar, the mean, the least and the most


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained and asked.

    Attributes:
        title: In the table.
        words: Of the command line.
        grey: What makes its tool show grey.
    """

    title: str
    words: tuple[str, ...]
    grey: str


def _grey(by: str, name: str, most: int, label: str) -> str:
    """`env.tools` with the numbered pictures of a made world, grey."""
    tool = (
        f"{{_target_:vigorl.rollout.tools.select_frames.SelectFrames,by:{by},name:{name},"
        f"most:{most},view_px:112,label:'{label} {{number}}: '}}"
    )
    return f"env.tools=[{{_target_:vigorl.rollout.tools.blind.BlindTool,tool:{tool}}}]"


TASKS = {
    "zoom_box": Task(
        "zoom into a box",
        ("experiment=grpo_zoom_box", "data.comparison_frac=0.0"),  # one sign, as in all others
        "tools=[zoom_box_blind]",
    ),
    "frames": Task(
        "choose frames",
        ("experiment=grpo_frames", "env.limits.max_images=6"),
        _grey("numbers", "select_frames", 2, "Frame"),
    ),
    "views": Task(
        "choose a camera",
        ("experiment=grpo_views",),
        _grey("cameras", "choose_camera", 1, "Camera"),
    ),
    "draw_then_read": Task(
        "draw, then read",
        ("experiment=grpo_draw_then_read",),
        "tools=[draw_line_close_blind]",
    ),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One seed.

    Attributes:
        seed: Of the training.
        start, end: Share right before and after GRPO, greedy.
        grey: After it, with grey replies, on the same questions.
        turns: Per answer, after GRPO.
    """

    seed: int
    start: float
    end: float
    grey: float
    turns: float


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
    parser.add_argument("overrides", nargs="*", help="of every training, such as optimizer.lr=5e-4")
    asked = parser.parse_args()
    found = {name: runs for name in asked.tasks if (runs := measured(name, asked))}
    write(asked, found)


def measured(name: str, asked: argparse.Namespace) -> list[Run]:
    """A run per seed."""
    task, root = TASKS[name], asked.root / name
    data = (
        f"data.num_val={asked.num_val}", "data.num_test=16",
        f"data.num_train={asked.prompts * asked.phases}",
    )  # fmt: skip
    runs = {
        ("trained", seed): (
            *task.words, *data, f"seed={seed}", f"num_phases={asked.phases}",
            f"name='{name}/{seed}'", f"rollout.eval_every={asked.every}",
            f"plan.prompts_per_phase={asked.prompts}",
            f"plan.sequences_per_update={8 * asked.prompts}", *asked.overrides,
        )
        for seed in asked.seeds
        if not asked.ready or (root / f"trained_{seed}" / "metrics.json").exists()
    }  # fmt: skip
    found, made = train_all(root, runs, METRICS, jobs=asked.jobs), list[Run]()
    for (_, seed), metrics in found.items():
        model = (root / f"trained_{seed}" / "run" / "model").resolve()
        words = (*task.words, *data, task.grey, "split=val", f"model.path='{model}'")
        report = evaluate(root / f"grey_{seed}", words)
        (_, start), *_, (_, end) = metrics["val/accuracy"]
        grey = statistics.fmean(score for one in report["questions"] for score in one["scores"])
        made.append(Run(seed, start, end, grey, metrics["val/turns_mean"][-1][1]))
    return made


def rows_of(task: Task, runs: list[Run]) -> list[str]:
    """What GRPO has added to the start, and what is lost without the pictures of its tool."""
    gained = paired_interval([run.end - run.start for run in runs])
    ahead = paired_interval([run.end - run.grey for run in runs])
    starts, ends, greys = zip(*((run.start, run.end, run.grey) for run in runs), strict=True)
    turns = f"{statistics.fmean(run.turns for run in runs):.2f}"
    return [
        f"| {task.title} | {percents(starts[:1])} | {percents(ends)} | {gained} "
        f"| {percents(greys)} | {ahead} | {turns} |"
    ]


def bars_of(task: Task, runs: list[Run]) -> Bars:
    """The start, the end, and the end with grey replies: mean and range over the seeds."""
    scores = {
        f"{task.title}: SFT start": [run.start for run in runs],
        f"{task.title}: after GRPO": [run.end for run in runs],
        f"{task.title}: the same, grey": [run.grey for run in runs],
    }
    return {name: (statistics.fmean(one), min(one), max(one)) for name, one in scores.items()}


def write(asked: argparse.Namespace, found: dict[str, list[Run]]) -> None:
    head = (
        "| task | start, % | after GRPO, % | gained, points | grey replies, % "
        "| ahead of grey, points | turns |\n"
        "|---|---|---|---|---|---|---|"
    )
    rows = [row for name, runs in found.items() for row in rows_of(TASKS[name], runs)]
    print("\n".join([head, *rows]))
    plain = {name: [asdict(run) for run in runs] for name, runs in found.items()}
    asked.out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    bars: Bars = {}
    for name, runs in found.items():
        bars |= bars_of(TASKS[name], runs)
    plot_bars_with_intervals(
        bars,
        asked.out.with_suffix(".png"),
        title=f"Greedy accuracy on {asked.num_val} held-out questions",
        xlabel="mean of the seeds, from the least to the most", chance=CHANCE,
        highlight=[name for name in bars if name.endswith("GRPO")],
    )  # fmt: skip


if __name__ == "__main__":
    main()
