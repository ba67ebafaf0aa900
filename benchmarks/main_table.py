"""The result table and plots of the README: `python benchmarks/main_table.py [--only NAME ...]`.

Trains every run of RUNS one after the other (nothing else should be running), evaluates its start
and its end greedily on the same 1,000 test questions, and writes docs/results.md, docs/results.json
and the plots. A run that is done is not done again; delete its folder under outputs/table to repeat
it. About forty minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient
from plots import plot_bars_with_intervals, plot_curves

from vigorl.callbacks.mlflow_logger import shown_name
from vigorl.data.images import ImageStore
from vigorl.evaluation.comparison import compare_reports
from vigorl.evaluation.report import EvaluationReport
from vigorl.pages.picture import rollout_picture
from vigorl.rollout.recorder import read_rollouts

OUT = Path("outputs/table")
DOCS = Path("docs")


@dataclass(frozen=True)
class Run:
    """One line of the table: its name, its experiment, further overrides."""

    name: str
    experiment: str
    overrides: tuple[str, ...] = ()
    env: str = "visual_search_zoom"

    @property
    def folder(self) -> Path:
        return OUT / self.name


RUNS = (
    Run("seed 0", "grpo_vstar"),
    Run("seed 1", "grpo_vstar", ("seed=1",)),
    Run("seed 2", "grpo_vstar", ("seed=2",)),
    Run("single look", "grpo_vstar_single_turn", env="visual_search_point"),
    Run("no warm start", "grpo_vstar_no_warm_start"),
    Run("released reward", "grpo_vstar_released_reward"),
    Run("no grounding", "grpo_vstar_no_grounding", env="visual_search_think"),
    Run("no diversity bonus", "grpo_vstar_no_diversity"),
)


SEEDS = ("seed 0", "seed 1", "seed 2")
CURVES = (  # file, metric, title, runs
    ("curves.png", "val/accuracy", "Greedy accuracy on held-out questions", [r.name for r in RUNS]),
    ("zoom_hits.png", "val/zoom_hit_frac", "Zooms whose window holds a target", SEEDS),
    ("released_reward.png", "val/accuracy", "Our reward and the released code's, same start",
     ("seed 0", "released reward")),
    ("released_zooms.png", "val/zooms_mean", "Zooms per question: our reward and the released one",
     ("seed 0", "released reward")),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of runs; all by default")
    wanted = parser.parse_args().only
    for run in RUNS:
        if not wanted or run.name in wanted:
            train(run)
            for moment in ("start", "end"):
                evaluate(run, moment)
    write_table([run for run in RUNS if (run.folder / "end" / "report.json").exists()])


def train(run: Run) -> None:
    if (run.folder / "model").exists():
        return
    started = time.perf_counter()
    door("train", run.experiment, f"paths.run='{run.folder}'", *run.overrides)
    seconds = time.perf_counter() - started
    (run.folder / "seconds.json").write_text(json.dumps({"train_s": seconds}))


def evaluate(run: Run, moment: str) -> None:
    """Before the first update and after the last; a start that runs share is evaluated once."""
    folder, made = judged(run, moment), run.folder / "untrained"
    if (folder / "report.json").exists():
        return
    start = made if made.exists() else Path("src/vigorl/assets/tiny_start")
    model = run.folder / "model" if moment == "end" else start
    door(
        "evaluate", "eval_vstar", f"model.path='{model}'", f"paths.run='{folder}'",
        f"env={run.env}", f"name='eval/{folder.parent.name}/{folder.name}'",
        "data.root=${paths.world}/questions_0",
    )  # fmt: skip


def judged(run: Run, moment: str) -> Path:
    """Where the evaluation of a run's start or end lies."""
    is_shared = moment == "start" and not (run.folder / "untrained").exists()
    return OUT / "start" / run.task if is_shared else run.folder / moment


def door(name: str, experiment: str, *overrides: str) -> None:
    command = [sys.executable, "-m", f"vigorl.{name}", f"experiment={experiment}", *overrides]
    print("$", " ".join(command), flush=True)
    subprocess.run(command, check=True)


def write_table(runs: list[Run]) -> None:
    rows, results = [], {}
    for run in runs:
        start, end = (report(run, moment) for moment in ("start", "end"))
        gain = compare_reports(end, start)
        seconds = json.loads((run.folder / "seconds.json").read_text())["train_s"]
        hits = [one.metrics.get("rollout/zoom_hit_frac") for one in (start, end)]
        valid = [one.metrics["rollout/valid_frac"] for one in (start, end)]
        rows.append(
            f"| {run.name} | {percent(start)} | {percent(end)} | "
            f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] | "
            f"{share(hits[0])} -> {share(hits[1])} | {share(valid[0])} -> {share(valid[1])} | "
            f"{seconds / 60:.1f} min |"
        )
        results[run.name] = {
            "start": asdict(start.accuracy), "end": asdict(end.accuracy), "gain": asdict(gain),
            "zoom_hit_frac": hits, "valid_frac": valid, "chance": end.chance, "train_s": seconds,
        }  # fmt: skip
    head = (
        "| run | start, % [95 %] | after GRPO, % [95 %] | gain, points [95 %] | zooms that hit | "
        "valid | training |\n|---|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *rows])
    (DOCS / "results.md").write_text(
        "# Measured\n\nMade by `python benchmarks/main_table.py`: greedy answers on "
        f"{report(runs[0], 'end').accuracy.num_questions} test questions, "
        f"intervals over questions.\n\n{text}\n"
    )
    (DOCS / "results.json").write_text(json.dumps(results, indent=1))
    print(text)
    plot(runs, results)
    draw_example(runs[0])


def plot(runs: list[Run], results: dict[str, dict]) -> None:
    bars = {"start": tuple(results[runs[0].name]["start"][k] for k in ("value", "low", "high"))}
    bars |= {
        run.name: tuple(results[run.name]["end"][k] for k in ("value", "low", "high"))
        for run in runs
    }
    chance = results[runs[0].name]["chance"]
    plot_bars_with_intervals(
        bars, DOCS / "results.png", title="Held-out accuracy after GRPO", xlabel="accuracy",
        chance=chance, highlight=[run.name for run in runs if run.name.startswith("seed")],
    )  # fmt: skip
    client = MlflowClient("sqlite:///outputs/mlflow.db")
    for file, metric, title, names in CURVES:
        curves = {
            run.name: history(client, run.folder, metric) for run in runs if run.name in names
        }
        curves = {name: curve for name, curve in curves.items() if curve}
        is_share = metric != "val/zooms_mean"
        plot_curves(
            curves, DOCS / file, title=title, ylabel=metric, xlabel="updates", is_share=is_share,
            chance=chance if metric == "val/accuracy" else None,
        )  # fmt: skip


def draw_example(run: Run) -> None:
    """docs/rollout.png: a comparison answered right after looking again, or else the busiest."""
    records = read_rollouts(run.folder / "end" / "rollouts.jsonl")
    right = [one.scored for one in records if one.scored.reward.parts["accuracy"] == 1.0]
    best = max(right, key=lambda one: (len(set(one.rollout.crops)), one.rollout.task.id))
    model = run.folder / "model"
    rollout_picture(best, ImageStore.from_pretrained(model)).save(DOCS / "rollout.png")


def history(client: MlflowClient, folder: Path, metric: str) -> list[tuple[float, float]]:
    """A metric of the run in a folder, by step."""
    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    points = {
        point.step: point.value for point in client.get_metric_history(run_id, shown_name(metric))
    }
    return sorted(points.items())


def report(run: Run, moment: str) -> EvaluationReport:
    return EvaluationReport.from_json((judged(run, moment) / "report.json").read_text())


def percent(one: EvaluationReport) -> str:
    a = one.accuracy
    return f"{100 * a.value:.1f} [{100 * a.low:.1f}, {100 * a.high:.1f}]"


def share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
