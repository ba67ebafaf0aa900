"""The whole circle, measured: search or single tries, fine-tuning on what they bring, GRPO.

    python benchmarks/circle.py [--seeds 0 1 2]

The teacher is the start checkpoint. On the same training questions it searches trees, or makes as
many single tries as have the same tokens; right ways become chains by the same filters. The teacher
is fine-tuned on each for the same number of updates, and GRPO goes on from both. A seed is of
everything: the questions, the noise of the teacher, fine-tuning, GRPO. Then what the policies do
while they look is counted by rules (the paper's table 5), beside a control without grounding.

Writes docs/circle.md, docs/circle.json and the plot. Nothing else should be running; what is done
is not done again (outputs/circle). About an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from main_table import door, history, percent
from mlflow.tracking import MlflowClient
from plots import plot_curves

from vigorl.evaluation.behavior_table import compare_behaviors, read_condition
from vigorl.evaluation.comparison import compare_reports
from vigorl.evaluation.report import EvaluationReport

OUT, DOCS = Path("outputs/circle"), Path("docs")
START = Path("src/vigorl/assets/tiny_start")
NUM_QUESTIONS = 600
NUM_UPDATES = 54  # three epochs of the chains of one search
TRIES = (  # as many as have a search's tokens: `python benchmarks/search.py quality`
    "search.num_children=0", "search.num_rollouts=1", "search.num_simulations=11",
    "chains.picking.corrected_frac=0",
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """Where the chains come from, for one seed."""

    name: str
    seed: int
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return OUT / f"{self.name} {self.seed}"

    def run(self) -> None:
        teacher, sft, grpo = (self.folder / part for part in ("teacher", "sft", "grpo"))
        seed = f"seed={self.seed}"
        if not (teacher / "chains.jsonl").exists():
            is_begun = (teacher / "trees.jsonl").exists()
            where = f"resume='{teacher}'" if is_begun else f"paths.run='{teacher}'"
            limit = f"limit={NUM_QUESTIONS}"
            door("synthesize", "mcts_vstar", where, limit, seed, *self.overrides)
        if not (sft / "model").exists():
            door(
                "train", "sft_from_mcts", f"data.path='{teacher / 'chains.jsonl'}'", seed,
                f"paths.run='{sft}'", f"+trainer.max_steps={NUM_UPDATES}", "max_epochs=1000",
                "early_stop=none",
            )  # fmt: skip
        if not (grpo / "model").exists():
            door(
                "train", "grpo_from_mcts", f"from_model='{sft / 'model'}'", seed,
                f"paths.run='{grpo}'",
            )  # fmt: skip
        for part in (sft, grpo):
            evaluate(part / "model", part / "test")

    def figures(self) -> dict[str, float]:
        """What the teacher spent, over all its processes, and what came of it."""
        client = MlflowClient("sqlite:///outputs/mlflow.db")
        run = json.loads((self.folder / "teacher" / "run.json").read_text())["mlflow_run_id"]
        spent = client.get_metric_history(run, "search/tokens")
        return client.get_run(run).data.metrics | {"search/tokens": sum(one.value for one in spent)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    arms = [
        Arm(*arm) for seed in seeds for arm in (("search", seed), ("single tries", seed, TRIES))
    ]
    for arm in arms:
        arm.run()
    evaluate(START, OUT / "start")
    control = OUT / "no grounding"
    if not (control / "model").exists():
        door("train", "grpo_vstar_no_grounding", f"paths.run='{control}'")
    evaluate(control / "model", control / "test", "env=visual_search_think")
    write(arms, control)


def evaluate(model: Path, folder: Path, *overrides: str) -> None:
    """Greedily, on the 1,000 test questions."""
    if not (folder / "report.json").exists():
        name = f"name='eval/circle/{folder.relative_to(OUT)}'"
        door(
            "evaluate", "eval_vstar", f"model.path='{model}'", f"paths.run='{folder}'", name,
            *overrides,
        )  # fmt: skip


def write(arms: list[Arm], control: Path) -> None:
    start = report(OUT / "start")
    head = (
        "| chains of | seed | teacher's tokens | questions solved | chains (corrected) | "
        "after SFT, % [95 %] | after GRPO, % [95 %] |\n|---|---|---|---|---|---|---|"
    )
    rows, results = [], {}
    for arm in arms:
        found = arm.figures()
        sft, grpo = report(arm.folder / "sft" / "test"), report(arm.folder / "grpo" / "test")
        corrected = round(found["chains/corrected_frac"] * found["chains/picked"])
        rows.append(
            f"| {arm.name} | {arm.seed} | {found['search/tokens']:,.0f} | "
            f"{100 * found['search/solved_frac']:.1f} % | {found['chains/picked']:,.0f} "
            f"({corrected}) | {percent(sft)} | {percent(grpo)} |"
        )
        results[f"{arm.name} {arm.seed}"] = {
            "teacher": found, "sft": asdict(sft.accuracy), "grpo": asdict(grpo.accuracy)
        }  # fmt: skip
    conditions = {"start": OUT / "start", "no grounding": control / "test"}
    first = next(arm for arm in arms if arm.name == "search")
    conditions |= {f"{part} (search)": first.folder / part / "test" for part in ("sft", "grpo")}
    behaviors = compare_behaviors(
        {name: read_condition(folder / "rollouts.jsonl") for name, folder in conditions.items()}
    ).markdown()
    text = "\n".join([head, *rows, "", *differences(arms)])
    (DOCS / "circle.md").write_text(
        "# Search, fine-tuning, GRPO\n\nMade by `python benchmarks/circle.py`. "
        f"{NUM_QUESTIONS} training questions, {NUM_UPDATES} updates of fine-tuning, greedy answers "
        f"on {start.accuracy.num_questions} test questions, intervals over questions; the teacher "
        f"itself answers {percent(start)} right.\n\n{text}\n\n## What they do while they look\n\n"
        f"{behaviors}"
    )
    (DOCS / "circle.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{text}\n\n{behaviors}")
    client = MlflowClient("sqlite:///outputs/mlflow.db")
    plot_curves(
        {f"{arm.name}, seed {arm.seed}": history(client, arm.folder / "grpo", "val/accuracy")
         for arm in arms},
        DOCS / "circle.png", title="GRPO from chains of a search and of single tries",
        ylabel="val/accuracy", xlabel="updates", chance=start.chance,
    )  # fmt: skip


def differences(arms: list[Arm]) -> list[str]:
    """Search minus single tries, question by question, for each seed."""
    lines = [
        "| search minus single tries, points [95 %] | after SFT | after GRPO |",
        "|---|---|---|",
    ]
    for search, tries in zip(arms[::2], arms[1::2], strict=True):
        cells = []
        for part in ("sft", "grpo"):
            one, other = (report(arm.folder / part / "test") for arm in (search, tries))
            gain = compare_reports(one, other)
            cells.append(
                f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            )
        lines.append(f"| seed {search.seed} | {cells[0]} | {cells[1]} |")
    return lines


def report(folder: Path) -> EvaluationReport:
    return EvaluationReport.from_json((folder / "report.json").read_text())


if __name__ == "__main__":
    main()
