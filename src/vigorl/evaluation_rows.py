"""An evaluation in MLflow, question by question: a table among its artifacts, and a trace of each
rollout with its scores, which the tab of evaluation runs lists and compares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlflow.utils.mlflow_tags import MLFLOW_RUN_TYPE, MLFLOW_RUN_TYPE_GENAI_EVALUATE
from omegaconf import DictConfig

from vigorl.callbacks.mlflow_logger import now_ms, send, shown_name
from vigorl.callbacks.traces import num_due
from vigorl.core.files import written_whole
from vigorl.core.rollout import ScoredRollout
from vigorl.evaluation.report import EvaluationReport
from vigorl.outbox.operations import LogInputs, LogMetrics, LogTable
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.run_description import data_used, parent_of
from vigorl.tracking import Run

TABLE = "eval_results_table.json"  # the name that MLflow's own evaluations use


def log_evaluation(
    cfg: DictConfig, run: Run, report: EvaluationReport, scored: Sequence[ScoredRollout]
) -> None:
    """Send the numbers, of the run and of the model that it judges, the table and the traces.

    Args:
        cfg: Its `callbacks.traces` bounds the traces, which are spread evenly over the questions.
        run: Its folder holds rollouts.jsonl.
        report: What was found.
        scored: The rollouts in the record's order.
    """
    parent = parent_of(cfg)
    numbers = {shown_name(name): value for name, value in report.scalars().items()}
    send(run.logger, LogMetrics(numbers, 0, now_ms(), model_of=parent and parent.run_id))
    run.tag({MLFLOW_RUN_TYPE: MLFLOW_RUN_TYPE_GENAI_EVALUATE})
    rows = run.folder / "mlflow_rows.json"  # not itself an artifact
    with written_whole(rows) as part:
        part.write_text(json.dumps(_columns(scored)))
    send(run.logger, LogTable(str(rows), TABLE))
    limits = cfg.callbacks.get("traces")
    if limits is None or not limits.max_traces or not scored:
        return
    num, most = len(scored), min(len(scored), int(limits.max_traces))
    lines = [i for i in range(num) if num_due(i, num_phases=num, most=most)]
    record = str(run.folder / "rollouts.jsonl")
    traces = RecordedTraces(
        record, lines, now_ms(), max_side_px=limits.max_side_px, max_kib=limits.max_kib
    )
    send(run.logger, traces)


def log_questions(cfg: DictConfig, run: Run, *, number: int, fingerprint: str) -> None:
    """The questions as a data set of the run."""
    name = "data/evaluated_tasks"
    used = data_used(cfg, {name: fingerprint}, counts={name: number})
    send(run.logger, LogInputs(used))


def _columns(scored: Sequence[ScoredRollout]) -> dict[str, list[Any]]:
    names = (name for one in scored for name in one.rollout.probes if name.startswith("rule_"))
    ruled = dict.fromkeys(names)
    rows = [
        {
            "id": one.rollout.task.id,
            "category": one.rollout.task.category,
            "question": one.rollout.task.question,
            "expected": one.rollout.task.answer,
            "answer": one.rollout.answer or "",
            "score": one.rollout.score,
            "turns": len(one.rollout.turns),
            "stop_reason": one.rollout.stop_reason.value,
            "reward": one.reward.total,
            **{name: value for name, value in one.rollout.probes.items() if name in ruled},
        }
        for one in (scored or [])
    ]
    columns = [*rows[0], *(one for one in ruled if one not in rows[0])] if rows else []
    return {name: [row.get(name) for row in rows] for name in columns}
