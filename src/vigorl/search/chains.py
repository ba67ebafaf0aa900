"""What a search tree holds that is worth imitating: ways from the question to a right answer.

Every right rollout of a node is a direct chain. Every pair of a wrong and a right rollout of the
same node is a corrected chain: the wrong try, then the right one. Both tries start at the node, so
what leads there is told once (the released code, `build_reasoning_chains_from_mcts.py`, tells it
twice). The root's text is the question and never part of a chain.

    root -- a -- b    rollouts of b: ("c", "d") wrong, ("e",) right
    direct:    a b e
    corrected: a b c d <turn-around> e

Trees come in two forms. THOUGHTS, as released: texts are bare thoughts, the last may hold the
answer's tags, and a terminal node's text is the answer alone. TURNS: texts are whole assistant
turns, thought and tool call (`core.trace`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from vigorl.core.records import ImageView, TaskRecord
from vigorl.core.rewards.answers import is_correct, normalize_answer
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import ANSWER, END_ANSWER, END_THINK, THINK, TOOL_CALL


class TreeForm(StrEnum):
    """How the texts of a tree are written."""

    THOUGHTS = "thoughts"  # bare thoughts, with or without <think> tags
    TURNS = "turns"  # whole assistant turns, with tool calls


@dataclass(frozen=True, slots=True)
class Chain:
    """One way to an answer that the teacher's judge called right; texts as the tree has them.

    Attributes:
        shared: From below the root to the node where the tries start, that node included.
        right: The right try's own texts.
        answer: Its answer; None when it gave none (then the judge was wrong).
        wrong: The wrong try's own texts, told first; empty in a direct chain.
        wrong_answer: What the wrong try answered, if anything.
    """

    shared: tuple[str, ...]
    right: tuple[str, ...]
    answer: str | None
    wrong: tuple[str, ...] = ()
    wrong_answer: str | None = None


def tree_form(tree: SearchTreeRecord) -> TreeForm:
    """Which form the texts have: one tool call anywhere below the root makes it TURNS."""
    calls = any(TOOL_CALL in text for text in _texts(tree.root))
    return TreeForm.TURNS if calls else TreeForm.THOUGHTS


def find_chains(tree: SearchTreeRecord, task: TaskRecord, *, image: ImageView) -> list[Chain]:
    """Every direct and corrected chain, parents first; right is what the teacher's judge said.

    A terminal node without a rollout is judged here, by what its text answers. A wrong try whose
    answer our own judge calls right is no wrong try: turning around there would teach doubt.

    Args:
        tree: The tree.
        task: Its question, for the judge.
        image: The whole picture as the teacher saw it.
    """
    found: list[Chain] = []
    for shared, node in _paths(tree.root):
        tries = node.rollouts or _unrolled(node, task, image=image)
        right = [one for one in tries if one.is_right]
        wrong = [
            one
            for one in tries
            if not one.is_right and not is_correct(one.answer, task, view=image)
        ]
        found += [Chain(shared, one.texts, one.answer) for one in right]
        found += [
            Chain(shared, good.texts, good.answer, bad.texts, bad.answer)
            for bad in wrong
            for good in right
            if bad.texts
        ]
    return found


def bare_thoughts(texts: Iterable[str], answer: str | None) -> list[str]:
    """The thoughts of a THOUGHTS tree's path without tags, empty ones and the answer.

    A last text that says the answer and nothing else is the answer: without tags that is how the
    released trees write it, and its coordinate is no place that the thought speaks of.
    """
    split = [split_answer(text) for text in texts]
    if split and split[-1][1] is None and answer is not None:
        last = split[-1][0]
        if normalize_answer(last) == normalize_answer(answer):
            split.pop()
    return [thought for thought, _ in split if thought]


def split_answer(text: str) -> tuple[str, str | None]:
    """A text's thought without tags, and what its <answer> holds; None without one."""
    body, tag, rest = text.partition(ANSWER)
    thought = body.replace(THINK, " ").replace(END_THINK, " ").strip()
    return thought, rest.partition(END_ANSWER)[0].strip() if tag else None


def _unrolled(node: SearchNode, task: TaskRecord, *, image: ImageView) -> tuple[SearchRollout, ...]:
    """The one try of a terminal node that the file gives no rollout for."""
    if not node.is_terminal:
        return ()
    thought, stated = split_answer(node.text)
    answer = thought if stated is None else stated
    return (SearchRollout(answer, float(is_correct(answer, task, view=image)), ()),)


def _paths(
    node: SearchNode, above: tuple[str, ...] | None = None
) -> Iterator[tuple[tuple[str, ...], SearchNode]]:
    """Every node with the texts from below the root to it."""
    path = () if above is None else (*above, node.text)
    yield path, node
    for child in node.children:
        yield from _paths(child, path)


def _texts(root: SearchNode) -> Iterator[str]:
    yield from (node.text for child in root.children for node in child.walk())
    rollouts = chain.from_iterable(node.rollouts for node in root.walk())
    yield from chain.from_iterable(rollout.texts for rollout in rollouts)
