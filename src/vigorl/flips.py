"""The questions on which two models differ, with the rollouts that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vigorl.core.rollout import ScoredRollout
from vigorl.evaluation.comparison import Pair, flipped
from vigorl.evaluation.report import EvaluationReport, QuestionOutcome
from vigorl.pages.comparison import Flip, Side

Find = Callable[[int, Mapping[str, int]], Mapping[str, ScoredRollout]]


def flips_between(
    pair: Pair, reports: Sequence[EvaluationReport], *, find: Find, most: int
) -> list[Flip]:
    """The questions to show of a comparison.

    Args:
        pair: The comparison.
        reports: That of the earlier model, and of the later.
        find: From 0 or 1 (whose) and {question: number of the answer} to the rollouts that are
            recorded of these.
        most: Questions at most.
    """
    before, after = reports
    outcomes = [{one.id: one for one in report.questions} for report in reports]
    ids = flipped(before, after, most)
    chosen = [
        {id: _telling(mine[id], theirs[id]) for id in ids}
        for mine, theirs in (outcomes, outcomes[::-1])
    ]
    found = [find(k, wanted) for k, wanted in enumerate(chosen)]

    def side(k: int, name: str, id: str) -> Side:
        one = outcomes[k][id]
        return Side(name, one.answers[chosen[k][id]], one.score, len(one.answers), found[k].get(id))

    return [
        Flip(
            benchmark=pair.benchmark,
            id=id,
            category=outcomes[0][id].category,
            right_answer=outcomes[0][id].right_answer,
            sides=(side(0, pair.before, id), side(1, pair.after, id)),
        )
        for id in ids
    ]


def _telling(mine: QuestionOutcome, theirs: QuestionOutcome) -> int:
    """The index of the answer that shows why one model did better: its best, or its worst."""
    pick = max if mine.score > theirs.score else min
    return pick(range(len(mine.scores)), key=lambda i: mine.scores[i])
