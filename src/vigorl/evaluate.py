"""Evaluate: `python -m vigorl.evaluate experiment=eval_vstar model.path=RUN/model`, or with
`benchmark=vstar data.root=DOWNLOAD` on a benchmark, by its own protocol; `benchmark=[vstar,blink]`
and `benchmark=vigorl_paper` on several, whose downloads `data.root` holds.

Records the settings, versions and a fingerprint of the questions, then answers them, each answer
kept as it comes: `resume=RUN` asks only for those that are missing. Prints a table with intervals;
leaves report.json, a page with pictures and a record of every rollout in the run's folder and in
MLflow. `compare_with=other/report.json` adds the paired difference to another model on the same
questions, as metrics and comparison.json too.
"""

from __future__ import annotations

import sys

from vigorl.callable_door import make_callable
from vigorl.door import as_suite, door, refuse_early
from vigorl.outbox.operations import LogArtifact, NoteParam

if __name__ == "__main__":
    sys.argv[1:] = as_suite(sys.argv[1:])
refuse_early(__name__, "evaluate")  # before the imports below, which take seconds
make_callable(__name__)  # as vigorl.evaluate(cfg)

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import (
    Parts,
    assemble,
    build_all,
    build_engine,
    build_parts,
    check_settings,
    prepare_process,
)
from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.files import written_whole
from vigorl.core.protocols import Engine, GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import ScoredRollout
from vigorl.core.run_log import logged_to
from vigorl.data.datasets import fingerprint
from vigorl.data.plain import path_of
from vigorl.data.splits import load_tasks
from vigorl.evaluation.answers import AnswerLog
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.comparison import Comparison, compare_reports
from vigorl.evaluation.judging import Judging
from vigorl.evaluation.metrics import choice_metrics
from vigorl.evaluation.progress import AnswerProgress
from vigorl.evaluation.protocol import Protocol, changed_settings
from vigorl.evaluation.report import EvaluationReport, suite_scalars, suite_table
from vigorl.evaluation.rescoring import rescore
from vigorl.evaluation.runner import evaluate
from vigorl.evaluation.unanswered import answer_metrics
from vigorl.evaluation_folder import (
    ANSWERS,
    REPORT,
    SHARD,
    finished_report,
    finished_shards,
    read_report,
    refuse_mixture,
    write_findings,
)
from vigorl.evaluation_rows import log_evaluation, log_questions
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.inference.rule import InferenceRule, recorded_answers
from vigorl.rollout.recorder import read_rollouts
from vigorl.run_settings import resumed_settings, said_of
from vigorl.suite import asked_by, members_of, shipped_settings
from vigorl.tracking import Run, in_its_folder, start_run

prepare_process()

_ENGINE_KEYS = ("engine", "model", "pixels")


@dataclass(slots=True)
class Engines:
    """The engine that was built last, for the next benchmark where it would be the same."""

    made_of: Any = None
    kept: Parts | None = None
    engine: Engine | None = None

    def parts(self, cfg: DictConfig) -> Parts:
        """With the tokenizer and the pictures of the engine that is there."""
        made_of = [OmegaConf.to_container(cfg[key], resolve=True) for key in _ENGINE_KEYS]
        if self.kept is not None and self.made_of == made_of:
            return build_parts(cfg, like=self.kept)
        self.engine = None  # its memory goes before the next one's comes
        self.made_of, self.kept = made_of, build_parts(cfg)
        return self.kept

    def of(self, cfg: DictConfig, parts: Parts) -> Engine:
        """The engine for `parts`, built where there is none."""
        if self.engine is None:
            self.engine = build_engine(cfg, parts)
        return self.engine


def run_evaluation(
    cfg: DictConfig, shipped: DictConfig | None = None, *, engines: Engines | None = None
) -> EvaluationReport:
    """Evaluate; `shipped` says what a benchmark is like where nobody has changed it."""
    check_settings(cfg)
    if cfg.shard and (cfg.merge or cfg.compare_with):
        name = "merge" if cfg.merge else "compare_with"
        raise ConfigError(f"{name} is for the whole evaluation: leave out shard={cfg.shard}")
    other = read_report(cfg.compare_with) if cfg.compare_with else None
    refuse_mixture(cfg)
    if cfg.resume and (done := finished_report(cfg)) is not None:
        print(f"{cfg.paths.run} is finished, nothing is asked:\n\n{done.table()}")
        if other is not None:
            print(f"against {cfg.compare_with}:\n{_compared(done, other)}")
        return done
    refuse_missing_data(cfg)
    with start_run(cfg) as run, logged_to(run.folder):
        return judge(cfg, run, other, shipped=shipped, engines=engines or Engines())


def refuse_missing_data(cfg: DictConfig) -> None:
    """Raises ConfigError where a benchmark's download is not there, before anything is made."""
    source = instantiate(cfg.data)
    if isinstance(source, Benchmark):
        source.prepare()


def run_suite(cfg: DictConfig) -> dict[str, EvaluationReport]:
    """Each benchmark of a suite, in a folder and a run of its own; those that are done are not
    asked again.
    """
    if cfg.compare_with:
        raise ConfigError(
            "compare_with has no effect on a suite: python -m vigorl.compare OTHER THIS, with both "
            "suites' folders, once it is done"
        )
    if cfg.shard or cfg.merge:
        raise ConfigError("shard and merge are for one benchmark, not for a suite: name one")
    reports: dict[str, EvaluationReport] = {}
    engines = Engines()
    members = members_of(cfg, said_of(cfg))
    left_out = "".join(f"left out: {name}: {why}\n" for name, why in members.left_out.items())
    print(left_out, end="")
    for one in members.asked:
        check_settings(one.cfg)
        refuse_mixture(one.cfg)
    with start_run(cfg) as run, logged_to(run.folder):
        run.record(cfg, None)
        for one in members.asked:
            if (done := finished_report(one.cfg)) is not None:
                reports[one.name] = done
                continue
            with start_run(one.cfg, said=one.said) as own, logged_to(own.folder):
                own.tag({"mlflow.parentRunId": run.mlflow_id})
                shipped = shipped_settings(one.said)
                reports[one.name] = judge(one.cfg, own, None, shipped=shipped, engines=engines)
        table = suite_table(reports) + left_out
        print(table)
        (run.folder / "suite.txt").write_text(table, encoding="utf-8")
        run.logger.log_metrics(suite_scalars(reports), step=0)
        send(run.logger, LogArtifact(str(run.folder)))
    return reports


def run_rescoring(cfg: DictConfig) -> EvaluationReport:
    """The rollouts of the evaluation in `rescore`, judged as `protocol` and `judge` say; what they
    were asked stays what it was.

    Raises:
        ConfigError: It is no evaluation's folder, or one of another benchmark.
    """
    check_settings(cfg)
    folder = Path(cfg.rescore)
    if cfg.shard or cfg.merge:
        raise ConfigError("rescore judges a whole evaluation: leave out shard and merge")
    if cfg.resume or folder.resolve() == Path(cfg.paths.run).resolve():
        raise ConfigError(f"rescore={folder} needs a folder of its own: leave out resume")
    before = read_report(str(folder / REPORT), key="rescore")
    source = instantiate(cfg.data)
    benchmark = source if isinstance(source, Benchmark) else None
    if benchmark is not None and benchmark.in_episodes:
        raise ConfigError(f"{benchmark.name} is judged by what its episodes leave: ask it again")
    name = benchmark.name if benchmark else cfg.name
    if before.protocol is None or before.protocol.name != name:
        asked = before.protocol.name if before.protocol else before.name
        raise ConfigError(f"rescore={folder} was asked {asked}, not {name}: set benchmark={asked}")
    recorded = [one.scored.rollout for one in read_rollouts(folder / "rollouts.jsonl")]
    rollouts = [recorded[place] for place, _ in recorded_answers(recorded)]
    judging = judging_of(cfg)
    with start_run(cfg) as run, logged_to(run.folder):
        run.record(cfg, None)
        outcomes = rescore(rollouts, judging, benchmark)
        settings = {**before.protocol.settings, "judging": judging.settings()}
        report = replace(
            before,
            questions=outcomes,
            metrics={
                **before.metrics, **answer_metrics(rollouts, judging), **choice_metrics(outcomes)
            },
            benchmark={} if benchmark is None else benchmark.scores(outcomes),
            protocol=replace(before.protocol, settings=settings),
        )  # fmt: skip
        print(report.table())
        with written_whole(run.folder / REPORT) as part:
            part.write_text(report.to_json())
        run.logger.log_metrics(report.scalars(), step=0)
        run.tag({"rescored": str(folder)})
        send(run.logger, LogArtifact(str(run.folder)))
    return report


def judging_of(cfg: DictConfig) -> Judging:
    """How answers are read and scored: as the protocol says, and behind it by a judge."""
    judging: Judging = instantiate(cfg.protocol.judging)
    return judging if cfg.judge is None else assemble(cfg.judge, judging)


def judge(
    cfg: DictConfig,
    run: Run,
    other: EvaluationReport | None,
    *,
    shipped: DictConfig | None,
    engines: Engines,
) -> EvaluationReport:
    """Straight down: settings -> parts -> tasks -> engine -> rollouts -> report, record, page."""
    shards = finished_shards(cfg) if cfg.merge else []
    run.record(cfg, None)
    source = instantiate(cfg.data)
    benchmark = source if isinstance(source, Benchmark) else None
    parts = engines.parts(cfg)
    asks = parts.eval_environment
    tasks, num = load_tasks(
        source, cfg.split, asks=asks, limit=cfg.limit, seed=cfg.seed, shard=cfg.shard
    )
    questions = {"number": len(tasks), "fingerprint": fingerprint(tasks)[:16]}
    questions |= {"of": num} if num > len(tasks) else {}
    note(run, "data/evaluated_tasks", str(questions["fingerprint"]))
    log_questions(cfg, run, number=len(tasks), fingerprint=str(questions["fingerprint"]))
    if other is not None:
        check_questions(other, tasks, path=cfg.compare_with)
    judging, inference = judging_of(cfg), instantiate(cfg.inference)
    protocol = protocol_of(
        cfg, parts, tasks, benchmark, judging=judging, shipped=shipped, questions=questions,
        inference=inference,
    )  # fmt: skip
    note(run, "protocol", str(protocol))
    scored: list[ScoredRollout] = []
    answers = run.folder / ANSWERS
    with (
        AnswerLog(answers, phase=cfg.name, run_seed=cfg.seed) as log,
        AnswerProgress(cfg.name) as progress,
    ):
        for part in shards:
            log.take(one.scored.rollout for one in read_rollouts(part))
        log.check(tasks, benchmark.question_of if benchmark else attrgetter("task"))
        report = evaluate(
            engines.of(cfg, parts) if inference or not shards else unasked(parts),
            parts.eval_environment,
            tasks,
            instantiate(cfg.reward),
            name=cfg.name,
            num_samples=cfg.samples_per_task,
            run_seed=cfg.seed,
            on_scored=scored.append,
            benchmark=benchmark,
            protocol=protocol,
            judging=judging,
            probes=build_all(cfg.probes),
            faithfulness=build_all(cfg.faithfulness.probes),
            faithfulness_limit=cfg.faithfulness.num_rollouts,
            log=log,
            on_progress=progress,
            inference=inference,
        )
    write_findings(cfg, run.folder, report, scored, images=parts.images, benchmark=benchmark)
    print(report.table())
    log_evaluation(cfg, run, report, scored)
    # rollouts.jsonl has them all; who finds them gone finds all done
    answers.rename(run.folder / SHARD) if cfg.shard else answers.unlink()
    try:
        if other is not None:
            compare(report, other, run, path=cfg.compare_with)
    finally:
        send(run.logger, LogArtifact(str(run.folder)))
    return report


def unasked(parts: Parts) -> Engine:
    """In place of an engine, where every answer is there."""

    def refuse(_: GenerationRequest) -> str:
        raise EngineError("the parts that are merged lack an answer: begin them again")

    return ScriptedEngine(refuse, parts.codec)


def note(run: Run, name: str, value: str) -> None:
    """A parameter of the run; MLflow takes none twice, so a resumed run's other one is a tag."""
    if not run.is_resumed or run.is_new_in_mlflow or not run.mlflow_id:
        run.logger.log_hyperparams({name: value})
        return
    send(run.logger, NoteParam(name, value))


def protocol_of(
    cfg: DictConfig,
    parts: Parts,
    tasks: Sequence[TaskRecord],
    benchmark: Benchmark | None,
    *,
    judging: Judging,
    shipped: DictConfig | None,
    questions: Mapping[str, Any],
    inference: InferenceRule | None = None,
) -> Protocol:
    """How this run asks and judges; what its benchmark's YAML says otherwise is named."""
    plain = asked_by(cfg)
    changed = changed_settings(asked_by(shipped), plain) if benchmark and shipped else []
    ruled = {} if inference is None else {"inference": inference.settings()}
    changed = [*changed, *(ruled if benchmark else ())]
    return Protocol(
        name=benchmark.name if benchmark else cfg.name,
        settings={
            "env": plain["env"] | {"prompt": asdict(parts.eval_environment.prompt)},
            "pixels": {key: cfg.pixels[key] for key in ("min_pixels", "max_pixels")},
            "samples_per_task": cfg.samples_per_task,
            "benchmark": benchmark and benchmark.settings(),
            "questions": questions,
            "judging": judging.settings(),
            "scorers": sorted({path_of(type(task.scorer)) for task in tasks}),
            **ruled,
        },
        changed=tuple(changed),
    )


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
    found = _compared(report, other)
    print(f"against {path}:\n{found}")
    run.logger.log_metrics({f"compare/{name}": n for name, n in found.numbers.items()}, step=0)
    text = json.dumps({"compare_with": str(path), **asdict(found)}, indent=1)
    (run.folder / "comparison.json").write_text(text + "\n")


def _compared(report: EvaluationReport, other: EvaluationReport) -> Comparison:
    return compare_reports(report, other, allow_other_protocol=True)


@door("evaluate")
def main(cfg: DictConfig) -> None:
    cfg = resumed_settings(cfg, in_its_folder) if cfg.resume else cfg
    if cfg.rescore:
        run_rescoring(cfg)
    elif cfg.suite:
        run_suite(cfg)
    else:
        run_evaluation(cfg, shipped_settings(said_of(cfg)))


if __name__ == "__main__":
    main()
