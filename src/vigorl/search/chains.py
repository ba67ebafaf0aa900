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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, product

from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.text import normalize_answer
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import ANSWER, END_ANSWER, END_THINK, THINK, TOOL_CALL

_MAX_PAIRS = 64  # of one node: two tries of a search make one, forty single tries would make 400


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
    """Which form the texts have: a tool call in a node makes it TURNS; of a tree without any node,
    one in a rollout.

    Nodes are what the search took for readable; a rollout may hold a call that was refused.
    """
    texts = [node.text for child in tree.root.children for node in child.walk()]
    if not texts:
        texts = [text for rollout in tree.root.rollouts for text in rollout.texts]
    is_called = any(TOOL_CALL in text for text in texts)
    return TreeForm.TURNS if is_called else TreeForm.THOUGHTS


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
            one for one in tries if not one.is_right and not task.is_right(one.answer, view=image)
        ]
        found += [Chain(shared, one.texts, one.answer) for one in right]
        found += [
            Chain(shared, good.texts, good.answer, bad.texts, bad.answer)
            for bad, good in _pairs(wrong, right)
            if bad.texts
        ]
    return found


def _pairs(
    wrong: Sequence[SearchRollout], right: Sequence[SearchRollout]
) -> Iterable[tuple[SearchRollout, SearchRollout]]:
    """All pairs, or of very many so many that every try is in about as many of them."""
    if len(wrong) * len(right) <= _MAX_PAIRS:
        return product(wrong, right)
    turns = (
        (bad, right[(number + shift) % len(right)])
        for shift in range(len(right))
        for number, bad in enumerate(wrong)
    )
    return islice(turns, _MAX_PAIRS)


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
    return (SearchRollout(answer, float(task.is_right(answer, view=image)), ()),)


def _paths(
    node: SearchNode, above: tuple[str, ...] | None = None
) -> Iterator[tuple[tuple[str, ...], SearchNode]]:
    """Every node with the texts from below the root to it."""
    path = () if above is None else (*above, node.text)
    yield path, node
    for child in node.children:
        yield from _paths(child, path)
