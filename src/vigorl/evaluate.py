"""Evaluate: `python -m vigorl.evaluate experiment=eval_vstar model.path=RUN/model`, or with
`benchmark=vstar data.root=DOWNLOAD` on a benchmark, by its own protocol.

Records the settings, versions and a fingerprint of the questions, then answers them. Prints a table
with intervals; leaves report.json, a page with pictures and a record of every rollout in the run's
folder and in MLflow. `compare_with=other/report.json` adds the paired difference to another model
on the same questions, as metrics and comparison.json too.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "evaluate")  # before the imports below, which take seconds

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import (
    Parts,
    build_all,
    build_engine,
    build_parts,
    check_settings,
    prepare_process,
)
from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import ScoredRollout
from vigorl.data.datasets import fingerprint
from vigorl.data.plain import path_of
from vigorl.data.splits import load_tasks
from vigorl.evaluation.benchmarks.benchmark import WHERE, Benchmark
from vigorl.evaluation.protocol import Protocol, changed_settings
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.runner import evaluate
from vigorl.pages.rollouts import WORST_AND_BEST, pick_worst_and_best, render_rollout_page
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.tracking import Run, start_run

prepare_process()


def run_evaluation(cfg: DictConfig, shipped: DictConfig | None = None) -> EvaluationReport:
    """Evaluate; `shipped` says what a benchmark is like where nobody has changed it."""
    check_settings(cfg)
    other = read_report(cfg.compare_with) if cfg.compare_with else None
    with start_run(cfg) as run:
        return judge(cfg, run, other, shipped=shipped)


def judge(
    cfg: DictConfig, run: Run, other: EvaluationReport | None, *, shipped: DictConfig | None
) -> EvaluationReport:
    """Straight down: settings -> parts -> tasks -> engine -> rollouts -> report, record, page."""
    run.record(cfg, None)
    source = instantiate(cfg.data)
    benchmark = source if isinstance(source, Benchmark) else None
    parts = build_parts(cfg)
    asks = parts.eval_environment
    tasks = load_tasks(source, cfg.split, asks=asks, limit=cfg.limit, seed=cfg.seed)
    run.logger.log_hyperparams({"data/evaluated_tasks": fingerprint(tasks)[:16]})
    if other is not None:
        check_questions(other, tasks, path=cfg.compare_with)
    protocol = protocol_of(cfg, parts, tasks, benchmark, shipped=shipped)
    run.logger.log_hyperparams({"protocol": str(protocol)})
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
        benchmark=benchmark,
        protocol=protocol,
        probes=build_all(cfg.probes),
    )
    print(report.table())
    with RolloutRecorder(run.folder / "rollouts.jsonl", run_seed=cfg.seed) as recorder:
        for one in scored:
            recorder.write(one, phase=cfg.split)
    in_episodes = benchmark is not None and benchmark.in_episodes
    page = render_rollout_page(
        pick_worst_and_best(scored, num=6 if in_episodes else 12, whole_groups=in_episodes),
        images=parts.images,
        title=f"{cfg.name}: {report.accuracy}",
        metrics=report.metrics,
        chosen=WORST_AND_BEST,
    )
    (run.folder / "rollouts.html").write_text(page, encoding="utf-8")
    (run.folder / "report.json").write_text(report.to_json())
    run.logger.log_metrics(report.scalars(), step=0)
    if other is not None:
        compare(report, other, run, path=cfg.compare_with)
    send(run.logger, lambda client, run_id: client.log_artifacts(run_id, str(run.folder)))
    return report


def protocol_of(
    cfg: DictConfig,
    parts: Parts,
    tasks: Sequence[TaskRecord],
    benchmark: Benchmark | None,
    *,
    shipped: DictConfig | None,
) -> Protocol:
    """How this run asks and judges; what its benchmark's YAML says otherwise is named."""
    plain = asked_by(cfg)
    changed = changed_settings(asked_by(shipped), plain) if benchmark and shipped else []
    return Protocol(
        name=benchmark.name if benchmark else cfg.name,
        settings={
            "env": plain["env"] | {"prompt": asdict(parts.eval_environment.prompt)},
            "pixels": {key: cfg.pixels[key] for key in ("min_pixels", "max_pixels")},
            "samples_per_task": cfg.samples_per_task,
            "benchmark": benchmark and benchmark.settings(),
            "questions": {"number": len(tasks), "fingerprint": fingerprint(tasks)[:16]},
            "scorers": sorted({path_of(type(task.scorer)) for task in tasks}),
        },
        changed=tuple(changed),
    )


def asked_by(cfg: DictConfig) -> dict[str, Any]:
    """The settings that say what is asked and how; not where it lies, nor what trains."""
    plain: Any = {key: to_container(cfg, key) for key in ("env", "data")}
    for key in ("temperature", "top_p"):
        plain["env"].pop(key, None)
    for key in WHERE:
        plain["data"].pop(key, None)
    return plain | {key: cfg.get(key) for key in ("split", "limit", "samples_per_task")}


def to_container(cfg: DictConfig, key: str) -> dict[str, Any]:
    """A part of a config as plain values, resolved within the whole."""
    found: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=True)
    return found


def shipped_settings() -> DictConfig | None:
    """What the groups that the command line chooses would say without its other settings; None
    where there was no command line.
    """
    if not HydraConfig.initialized():
        return None
    said = HydraConfig.get()
    groups = dict(said.runtime.choices)
    chosen = [one for one in said.overrides.task if one.partition("=")[0].lstrip("+~") in groups]
    kept = [one for one in chosen if one.partition("=")[0].lstrip("+~") not in ("env", "data")]
    return compose(str(said.job.config_name), overrides=kept)


def read_report(path: str) -> EvaluationReport:
    """Another evaluation's report.json.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not a report.
    """
    if not Path(path).is_file():
        raise ConfigError(f"compare_with={path!r} is not a file; name another run's report.json")
    return EvaluationReport.from_json(Path(path).read_text(), path=path)


def check_questions(other: EvaluationReport, tasks: Sequence[TaskRecord], *, path: str) -> None:
    """Refuse a report on other questions, before any answer is paid for."""
    odd = sorted({one.id for one in other.questions} ^ {task.id for task in tasks})
    if odd:
        raise ConfigError(
            f"compare_with={path} was not measured on the same questions: {len(odd)} differ, such "
            f"as {odd[:3]}; give both evaluations the same data, split, limit and seed"
        )


def compare(report: EvaluationReport, other: EvaluationReport, run: Run, *, path: str) -> None:
    """Print, log and write the paired difference."""
    difference = report.compare(other)
    print(f"against {path}:\n{difference}")
    if report.protocol and other.protocol:
        differing = report.protocol.differences(other.protocol)
        if differing:
            print(f"the protocols differ: {', '.join(differing)}")
    numbers = asdict(difference)
    run.logger.log_metrics({f"compare/{name}": float(n) for name, n in numbers.items()}, step=0)
    text = json.dumps({"compare_with": str(path), **numbers}, indent=1)
    (run.folder / "comparison.json").write_text(text + "\n")


@door("evaluate")
def main(cfg: DictConfig) -> None:
    run_evaluation(cfg, shipped_settings())


if __name__ == "__main__":
    main()
