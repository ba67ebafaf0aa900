"""The answer that most tries agree on, as a filter of questions or as their label.

    python -m vigorl.synthesize experiment=build_visualwebinstruct
    python -m vigorl.synthesize experiment=build_honeybee

Answers are one where the question's own scorer takes one for the other. Tries without an answer
count against a majority.
Source: VisualWebInstruct, arXiv:2503.10582 (four answers, more than half; where the page has
another answer, the page wins); HoneyBee, arXiv:2510.12225 (16 chains, majority vote).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from vigorl.core.errors import DataError
from vigorl.core.ranges import Range, check_ranges
from vigorl.core.scoring.relabel import with_answer
from vigorl.core.scoring.text import normalize_answer
from vigorl.core.search_tree import SearchNode, SearchTreeRecord
from vigorl.search.keeping.keep import Verdict, tries_of

if TYPE_CHECKING:  # it imports torch
    from vigorl.search.searched import SearchedTask


class Label(StrEnum):
    """What becomes of the answer that the data has."""

    WINS = "wins"  # it stays, whatever was voted
    MUST_AGREE = "must_agree"  # a question where the vote differs is left out
    IS_REPLACED = "is_replaced"  # what was voted is right


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Keeps questions whose tries agree.

    Attributes:
        more_than: Share of the tries that has to be exceeded.
        label: What becomes of the answer that the data has.
    """

    more_than: Annotated[float, Range(ge=0, lt=1)] = 0.5
    label: Label = Label.WINS

    def __post_init__(self) -> None:
        check_ranges(self, "keep")

    def judge(self, searched: Sequence[SearchedTask]) -> list[Verdict]:
        return [self._judge(one) for one in searched]

    def _judge(self, one: SearchedTask) -> Verdict:
        task, tries = one.task, tries_of(one.tree)
        if task.scorer.boxes or task.scorer.is_place:
            raise DataError(
                f"answers to {task.id} are places, of which two are hardly ever the same: "
                "keep=vote needs answers in words or numbers; keep=solve_band asks for a label",
                path=task.source or one.tree.image,
            )
        if not tries:
            return Verdict("not tried")
        voted, votes = _winner(one, [t.answer for t in tries if t.answer is not None])
        share = votes / len(tries)
        measured: dict[str, float | str] = {"voted": voted, "share": share}
        if not votes or share <= self.more_than:
            return Verdict("no majority", None, measured)
        if task.is_right(voted, view=one.image):
            return Verdict("agrees with the label", one, measured)
        if self.label == Label.MUST_AGREE:
            return Verdict("against the label", None, measured)
        if self.label == Label.WINS:
            return Verdict("against the label, which wins", one, measured)
        return Verdict("label replaced", _relabelled(one, voted), measured)


def _winner(one: SearchedTask, answers: Sequence[str]) -> tuple[str, int]:
    """The answer that most are the same as, and how many; of a tie the first by its words. Of a
    question with options only they are candidates.
    """
    texts = {normalize_answer(answer): answer for answer in sorted(answers, reverse=True)}
    best, most = "", 0
    for text in one.task.options or sorted(texts.values()):
        try:
            task = with_answer(one.task, text)
        except ValueError:  # no right answer is written so
            continue
        votes = sum(task.is_right(answer, view=one.image) for answer in answers)
        if votes > most:
            best, most = text, votes
    return best, most


def _relabelled(one: SearchedTask, answer: str) -> SearchedTask:
    """The question with another right answer, and its tries judged by it."""
    task = with_answer(one.task, answer)

    def judged(node: SearchNode) -> SearchNode:
        rollouts = tuple(
            replace(t, reward=task.score(t.answer, view=one.image)) for t in node.rollouts
        )
        return replace(node, rollouts=rollouts, children=tuple(map(judged, node.children)))

    tree: SearchTreeRecord = replace(one.tree, answer=answer, root=judged(one.tree.root))
    return replace(one, task=task, tree=tree)
