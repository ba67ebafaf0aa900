"""Rollouts that are kept, judged again: another protocol's score without asking the model.

    rollouts = [one.scored.rollout for one in read_rollouts(RUN / "rollouts.jsonl")]
    outcomes = rescore(rollouts, VlmEvalKit("vstar"))

What they were asked stays what it was: only how the answers are read is another. The prompt belongs
to the protocol too, so such a score is named after both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vigorl.core.errors import DataError
from vigorl.core.rollout import Rollout
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.judging import AsTrained, Judging
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.runner import outcome_of
from vigorl.rollout.inference.rule import recorded_answers


def rescore(
    rollouts: Sequence[Rollout],
    judging: Judging | None = None,
    benchmark: Benchmark | None = None,
) -> tuple[QuestionOutcome, ...]:
    """What comes out of recorded rollouts under another way to read and score them.

    Args:
        rollouts: In any order; those of a question share its task's id. Of those that a rule of
            inference chose among, the chosen.
        judging: The new one; by the answer tags and the task's scorer when None.
        benchmark: Whose questions these are.
    Returns:
        Outcomes in the order in which their questions first appear.
    Raises:
        DataError: There is no rollout, one stands there twice, or a question has more than another.
        EngineError: A judge that was asked gave no reply.
    """
    judging = AsTrained() if judging is None else judging
    questions: dict[str, dict[int, Rollout]] = {}
    for place, number in recorded_answers(rollouts):
        one = replace(rollouts[place], index=number)
        found = questions.setdefault(one.task.id, {})
        if one.index in found:
            raise DataError(f"question {one.task.id!r} has two rollouts {one.index}")
        found[one.index] = one
    if not questions:
        raise DataError("nothing to score again: there is no rollout")
    counts = {len(found) for found in questions.values()}
    if len(counts) > 1:
        raise DataError(f"questions have {min(counts)} to {max(counts)} rollouts: the run is cut")
    grouped = [[found[i] for i in sorted(found)] for found in questions.values()]
    judging.ask([one for group in grouped for one in group])
    return tuple(outcome_of(group[0].task, group, benchmark, judging) for group in grouped)
