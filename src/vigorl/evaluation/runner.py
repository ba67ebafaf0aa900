"""Ask a policy every question once (or k times) and report how it did.

    report = evaluate(engine, environment, tasks, reward, name="vstar")
    print(report.table())

The same environment, collector and yardsticks as in training, so that a number here means what it
means there. How the policy answers (greedy or sampled, how many turns) is the environment's; only
how often is asked for here.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.metrics import rollout_metrics
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.core.scoring.text import option_index
from vigorl.evaluation.answers import AnswerLog
from vigorl.evaluation.asking import Asking, ask, ask_all, ask_ruled
from vigorl.evaluation.behaviors import behavior_metrics
from vigorl.evaluation.benchmarks.benchmark import Benchmark, cluster_of
from vigorl.evaluation.faithfulness import measure_faithfulness
from vigorl.evaluation.judging import AsTrained, Judging
from vigorl.evaluation.metrics import choice_metrics
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import EvaluationReport, QuestionOutcome
from vigorl.evaluation.rule_metrics import rule_metrics
from vigorl.evaluation.unanswered import answer_metrics
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import RolloutScorer, score_rollouts
from vigorl.rollout.inference.rule import CHOSEN, InferenceRule, Ruling
from vigorl.rollout.probes.probe import Probe, Schedule, ask_probes

AS_TRAINED = AsTrained()


def evaluate(
    engine: Engine,
    environment: Environment,
    tasks: Sequence[TaskRecord],
    reward: RolloutScorer,
    *,
    name: str = "eval",
    num_samples: int = 1,
    run_seed: int = 0,
    on_scored: Callable[[ScoredRollout], None] | None = None,
    benchmark: Benchmark | None = None,
    protocol: Protocol | None = None,
    probes: Sequence[Probe] = (),
    faithfulness: Sequence[Probe] = (),
    faithfulness_limit: int | None = None,
    judging: Judging = AS_TRAINED,
    log: AnswerLog | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    inference: InferenceRule | None = None,
) -> EvaluationReport:
    """Roll out every task and score it.

    Args:
        engine: With nothing in flight.
        environment: Its temperature decides greedy or sampled.
        tasks: The questions, ids unique.
        reward: Logged beside the accuracy, which never depends on it.
        name: Of the report, and of the phase that seeds the sampling.
        num_samples: Rollouts per question; the score is their mean (avg@k).
        run_seed: Of the sampling noise.
        on_scored: Called with every scored rollout, in the order of the tasks (to record or show).
        benchmark: Whose questions these are: says how they cluster, and its own metrics.
        protocol: Kept in the report.
        probes: What is asked about the rollouts once all have finished.
        faithfulness: Probes that are asked besides, whatever their schedules.
        faithfulness_limit: Most rollouts that each of them is asked about; None takes all.
        judging: How rollouts are read and scored; probes go by the tasks' own scorers.
        log: Keeps what is answered; what it holds is not asked again.
        on_progress: Called with how many rollouts are there, and of how many, at the start and
            after each.
        inference: How an answer is made of what is sampled; None: each rollout is an answer. The
            numbers of rollouts are then those of the answers, and `inference/...` is what they
            took.
    Raises:
        ConfigError: Several greedy rollouts of a question, which would all be the same; or a rule
            that has no meaning for the questions or the engine.
        DataError: No task, or two with the same id.
        EngineError: The engine died, or a judge gave no reply.
    """
    decoding = environment if inference is None else inference.sampled(environment)
    _check(tasks, num_samples=num_samples, temperature=decoding.temperature)
    asking = Asking(
        num_samples=num_samples, phase=name, run_seed=run_seed, log=log, on_progress=on_progress
    )
    rulings: Sequence[Ruling] = ()
    if inference is None:
        asked = (benchmark.ask if benchmark else ask)(engine, environment, tasks, asking)
    elif benchmark is not None and benchmark.in_episodes:
        raise ConfigError(
            f"inference has no effect on {benchmark.name}, whose questions are episodes: leave it "
            "out"
        )
    else:
        asked, rulings = ask_ruled(engine, environment, tasks, asking, inference)
    probed = range(len(asked.rollouts)) if inference is None else asked.judged
    of_probes = replace(asking, phase=f"{name}, probes", on_progress=None)
    further = partial(ask_all, engine, asking=of_probes)
    answers = [asked.rollouts[i] for i in probed]
    answers = ask_probes(further, probes, answers, environment=environment)
    limit = Schedule(num_rollouts=faithfulness_limit)
    answers = ask_probes(further, faithfulness, answers, environment=environment, schedule=limit)
    rollouts = list(asked.rollouts)
    for i, one in zip(probed, answers, strict=True):
        rollouts[i] = one
    scored = score_rollouts(rollouts, reward)
    if on_scored is not None:
        for one in scored:
            on_scored(one)
    judged = [rollouts[i] for i in asked.judged]
    judging.ask(judged)
    lots = [slice(i * num_samples, (i + 1) * num_samples) for i in range(len(tasks))]
    outcomes = tuple(
        outcome_of(task, judged[lot], benchmark, judging, rulings=rulings[lot])
        for task, lot in zip(tasks, lots, strict=True)
    )
    found = rollout_metrics([scored[i] for i in probed]) | behavior_metrics(answers)
    found.pop(f"probe/{CHOSEN}", None)
    if inference is not None:
        found |= rule_metrics(rollouts, num_answers=len(asked.judged))
    return EvaluationReport(
        name=name,
        questions=outcomes,
        metrics=found | answer_metrics(answers, judging) | choice_metrics(outcomes),
        policy_version=engine.policy_version,
        temperature=decoding.temperature,
        run_seed=run_seed,
        benchmark={} if benchmark is None else benchmark.scores(outcomes),
        protocol=protocol,
        faithfulness=measure_faithfulness(answers, {task.id: cluster_of(task) for task in tasks}),
    )


def chance_level(task: TaskRecord) -> float | None:
    """The score of a blind guess among the options; None when there are none."""
    if not task.options:
        return None
    return sum(map(task.score, task.options)) / len(task.options)


def outcome_of(
    task: TaskRecord,
    rollouts: Sequence[Rollout],
    benchmark: Benchmark | None = None,
    judging: Judging = AS_TRAINED,
    *,
    rulings: Sequence[Ruling] = (),
) -> QuestionOutcome:
    """What came out for a task, from its rollouts in their order."""
    answers = tuple(map(judging.answer, rollouts))
    found = option_index(task.answer, task.options) if task.options else None
    return QuestionOutcome(
        id=task.id,
        category=task.category,
        right_answer=task.answer,
        answers=answers,
        scores=tuple(map(judging.score, rollouts)),
        chance=chance_level(task),
        cluster=cluster_of(task),
        tags=task.tags,
        options=len(task.options),
        right_option=found,
        chosen_options=()
        if found is None
        else tuple(None if a is None else option_index(a, task.options) for a in answers),
        extras=mean_extras(
            dict(judging.extras(one)) | dict(benchmark.extras(one) if benchmark else {})
            for one in rollouts
        ),
        ruling="; ".join(one.saw for one in rulings),
    )


def mean_extras(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the rollouts that have it."""
    values: dict[str, list[float]] = {}
    for extras in found:
        for name, value in extras.items():
            values.setdefault(name, []).append(value)
    return {name: statistics.fmean(many) for name, many in values.items()}


def _check(tasks: Sequence[TaskRecord], *, num_samples: int, temperature: float) -> None:
    if not tasks:
        raise DataError("nothing to evaluate: there is no task")
    twice = [name for name, count in Counter(task.id for task in tasks).items() if count > 1]
    if twice:
        raise DataError(f"task ids must be unique, or reports cannot be compared: {twice[:3]}")
    if num_samples < 1:
        raise ConfigError(f"num_samples must be at least 1, got {num_samples}")
    if num_samples > 1 and temperature == 0:
        raise ConfigError(f"num_samples={num_samples} has no effect at temperature 0")
