"""Evaluate: `python -m vigorl.evaluate experiment=eval_vstar model.path=RUN/model`.

Prints a table with intervals; leaves report.json, a page with pictures and a record of every
rollout in the run's folder and in MLflow. `compare_with=other/report.json` adds the paired
difference to another model on the same questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.utils import instantiate
from lightning.pytorch.loggers import MLFlowLogger
from omegaconf import DictConfig

from vigorl.build import (
    CONFIGS,
    build_engine,
    build_parts,
    check_settings,
    prepare_process,
)
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import ScoredRollout
from vigorl.data.splits import DataSource
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.runner import evaluate
from vigorl.rollout.page import render_page
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.tracking import Run, start_run

prepare_process()


def run_evaluation(cfg: DictConfig) -> EvaluationReport:
    check_settings(cfg)
    with start_run(cfg) as run:
        return judge(cfg, run)


def judge(cfg: DictConfig, run: Run) -> EvaluationReport:
    """Straight down: data -> engine -> rollouts -> report, record, page."""
    parts = build_parts(cfg)
    tasks = load_tasks(instantiate(cfg.data), cfg.split, limit=cfg.limit, seed=cfg.seed)
    scored: list[ScoredRollout] = []
    report = evaluate(
        build_engine(cfg, parts),
        parts.eval_environment,
        tasks,
        instantiate(cfg.reward),
        name=cfg.name,
        num_samples=cfg.samples_per_task,
        run_seed=cfg.seed,
        on_scored=scored.append,
    )
    with RolloutRecorder(run.folder / "rollouts.jsonl", run_seed=cfg.seed) as recorder:
        for one in scored:
            recorder.write(one, phase=cfg.split)
    shown = sorted(scored, key=lambda one: one.reward.total)
    page = render_page(
        [[one] for one in (*shown[:6], *shown[6:][-6:])],
        images=parts.images,
        title=f"{cfg.name}: {report.accuracy}",
        metrics=report.metrics,
    )
    (run.folder / "rollouts.html").write_text(page, encoding="utf-8")
    (run.folder / "report.json").write_text(report.to_json())
    run.record(cfg, None)
    run.logger.log_metrics(report.scalars(), step=0)
    if isinstance(run.logger, MLFlowLogger):
        run.logger.experiment.log_artifacts(run.logger.run_id, str(run.folder))
    return report


def load_tasks(
    source: DataSource, split: str, *, limit: int | None, seed: int
) -> Sequence[TaskRecord]:
    """The tasks of a split; a limited number of them is a random one, the same for the same
    seed.
    """
    source.prepare()
    splits = source.load()
    tasks = list({"test": splits.test_tasks, "val": splits.val_tasks}[split])
    return random.Random(seed).sample(tasks, limit) if limit and limit < len(tasks) else tasks


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="evaluate")
def main(cfg: DictConfig) -> None:
    report = run_evaluation(cfg)
    print(report.table())
    if cfg.compare_with:
        other = EvaluationReport.from_json(Path(cfg.compare_with).read_text())
        print(f"against {cfg.compare_with}:\n{report.compare(other)}")


if __name__ == "__main__":
    main()
