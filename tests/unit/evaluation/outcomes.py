"""Outcomes and reports by hand: `from tests.unit.evaluation.outcomes import outcome, report`."""

from __future__ import annotations

from typing import Any

from vigorl.evaluation.report import EvaluationReport, QuestionOutcome


def outcome(id: str, *scores: float, **fields: Any) -> QuestionOutcome:
    """A question that was answered so well."""
    answers = tuple("red" if score else "blue" for score in scores)
    return QuestionOutcome(id, answers=answers, scores=tuple(map(float, scores)), **(
        {"category": "colour", "right_answer": "red"} | fields
    ))  # fmt: skip


def choice(
    id: str, *chosen: int | None, right: int = 0, options: int = 2, **fields: Any
) -> QuestionOutcome:
    """A question with options of which these were chosen."""
    scores = [float(one == right) for one in chosen]
    return outcome(
        id, *scores, options=options, right_option=right, chosen_options=chosen, **fields
    )


def report(*questions: QuestionOutcome, name: str = "vstar", **fields: Any) -> EvaluationReport:
    return EvaluationReport(name, questions, **fields)
