"""What a tool is worth at the tiny scale: GRPO with it, and the same policy shown grey.

    python benchmarks/tools_measured.py --seeds 0 1 2 --out docs/tools_measured [--tasks zoom_box]

Per task and seed one training, from a start that was taught to call the tool and that the run makes
where it is missing. What it has learned then answers the same questions once more while each
picture that its tool replies with is grey: sizes and words stay, and only what is seen is missing.
With `--fixed` another policy is trained as long, from a start of its own, that is shown as many
pictures by a fixed rule and chooses none. A run whose folder has its metrics is not run again; with
`--ready` nothing is trained, and what is missing is left out. Tasks that are not asked keep what
OUT.json says of them. Prints the table of docs/tools_measured.md; writes OUT.json and OUT.png.
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
        fixed: Beside `words`, of the policy that chooses nothing; empty where there is none.
    """

    title: str
    words: tuple[str, ...]
    grey: str
    fixed: tuple[str, ...] = ()


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
        fixed=("data=made_clips_even", "env=clips_reply"),
    ),
    "views": Task(
        "choose a camera",
        ("experiment=grpo_views",),
        _grey("cameras", "choose_camera", 1, "Camera"),
        fixed=("data=made_views_fixed", "env=clips_reply"),
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
        fixed: After GRPO on pictures of a fixed rule, on the same questions.
    """

    seed: int
    start: float
    end: float
    grey: float
    turns: float
    fixed: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Of a task: the phases of each run, the questions of each evaluation, and a run per seed."""

    phases: int
    questions: int
    runs: list[Run]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=16, help="of a phase, with 8 rollouts each")
    parser.add_argument("--per-update", type=int, help="rollouts of an update; else the phase's")
    parser.add_argument("--every", type=int, default=10, help="phases between evaluations")
    parser.add_argument("--num-val", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--root", type=Path, default=Path("outputs/tools_measured"))
    parser.add_argument("--fixed", action="store_true", help="a policy that chooses none, too")
    parser.add_argument("--ready", action="store_true", help="train nothing, tell what there is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", help="of every training, such as optimizer.lr=5e-4")
    asked = parser.parse_args()
    kept = asked.out.with_suffix(".json")
    found = read_found(kept) if kept.exists() else {}
    for name in asked.tasks:
        if runs := measured(name, asked):
            found[name] = Found(asked.phases, asked.num_val, runs)
    write(asked.out, {name: found[name] for name in TASKS if name in found})


def read_found(path: Path) -> dict[str, Found]:
    plain = json.loads(path.read_text())
    return {
        name: Found(one["phases"], one["questions"], [Run(**run) for run in one["runs"]])
        for name, one in plain.items()
    }


def measured(name: str, asked: argparse.Namespace) -> list[Run]:
    """A run per seed."""
    task, root = TASKS[name], asked.root / name
    data = (
        f"data.num_val={asked.num_val}", "data.num_test=16",
        f"data.num_train={asked.prompts * asked.phases}",
    )  # fmt: skip
    arms = {"trained": task.words} | ({"fixed": (*task.words, *task.fixed)} if asked.fixed else {})
    runs = {
        (arm, seed): (
            *words, *data, f"seed={seed}", f"num_phases={asked.phases}",
            f"name='{name}_{arm}/{seed}'", f"rollout.eval_every={asked.every}",
            f"plan.prompts_per_phase={asked.prompts}",
            f"plan.sequences_per_update={asked.per_update or 8 * asked.prompts}", *asked.overrides,
        )
        for seed in asked.seeds
        for arm, words in arms.items()
        if not asked.ready or (root / f"{arm}_{seed}" / "metrics.json").exists()
    }  # fmt: skip
    found, made = train_all(root, runs, METRICS, jobs=asked.jobs), list[Run]()
    for seed in asked.seeds:
        if (metrics := found.get(("trained", seed))) is None:
            continue
        model = (root / f"trained_{seed}" / "run" / "model").resolve()
        words = (*task.words, *data, task.grey, "split=val", f"model.path='{model}'")
        report = evaluate(root / f"grey_{seed}", words)
        (_, start), *_, (_, end) = metrics["val/accuracy"]
        grey = statistics.fmean(score for one in report["questions"] for score in one["scores"])
        other = found.get(("fixed", seed))
        fixed = other["val/accuracy"][-1][1] if other else None
        made.append(Run(seed, start, end, grey, metrics["val/turns_mean"][-1][1], fixed))
    return made


def row_of(task: Task, found: Found, *, with_fixed: bool) -> str:
    """What GRPO has added to the start, and what is lost without the pictures of its tool."""
    runs = found.runs
    fixed = [run.fixed for run in runs if run.fixed is not None]
    cells = [
        task.title,
        f"{found.phases}",
        f"{found.questions}",
        percents([runs[0].start]),
        percents([run.end for run in runs]),
        paired_interval([run.end - run.start for run in runs]),
        percents([run.grey for run in runs]),
        paired_interval([run.end - run.grey for run in runs]),
        *([percents(fixed) or "-"] if with_fixed else []),
        f"{statistics.fmean(run.turns for run in runs):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def bars_of(task: Task, runs: list[Run]) -> Bars:
    """The start, the end, and the end with grey replies: mean and range over the seeds."""
    scores = {
        "SFT start": [run.start for run in runs],
        "after GRPO": [run.end for run in runs],
        "the same, grey": [run.grey for run in runs],
        "GRPO on fixed pictures": [run.fixed for run in runs if run.fixed is not None],
    }
    return {
        f"{task.title}: {name}": (statistics.fmean(one), min(one), max(one))
        for name, one in scores.items()
        if one
    }


def write(out: Path, found: dict[str, Found]) -> None:
    with_fixed = any(run.fixed is not None for one in found.values() for run in one.runs)
    heads = [
        "task", "phases", "questions", "start, %", "after GRPO, %", "gained, points",
        "grey replies, %", "ahead of grey, points",
        *(["on fixed pictures, %"] if with_fixed else []), "turns",
    ]  # fmt: skip
    rows = [row_of(TASKS[name], one, with_fixed=with_fixed) for name, one in found.items()]
    print("\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]))
    plain = {name: asdict(one) for name, one in found.items()}
    out.with_suffix(".json").write_text(json.dumps(plain, indent=1))
    bars: Bars = {}
    for name, one in found.items():
        bars |= bars_of(TASKS[name], one.runs)
    plot_bars_with_intervals(
        bars,
        out.with_suffix(".png"),
        title="Greedy accuracy on held-out questions",
        xlabel="mean of the seeds, from the least to the most", chance=CHANCE,
        highlight=[name for name in bars if name.endswith("after GRPO")],
    )  # fmt: skip


if __name__ == "__main__":
    main()
