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
turns, thought and tool call (`core.trace`). Either way each text of a tree is parsed here, once,
and everything later works on the parsed turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, product

from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import TOOL_CALL, ParsedTurn, parse_thought, parse_turn

_MAX_PAIRS = 64  # of one node: two tries of a search make one, forty single tries would make 400


_Try = tuple[tuple[ParsedTurn, ...], str | None]  # what a try says, and its answer


class TreeForm(StrEnum):
    """How the texts of a tree are written."""

    THOUGHTS = "thoughts"  # bare thoughts, with or without <think> tags
    TURNS = "turns"  # whole assistant turns, with tool calls


@dataclass(frozen=True, slots=True)
class Chain:
    """One way to an answer that the teacher's judge called right.

    Attributes:
        shared: The thoughts from below the root to the node where the tries start, that node's
            included.
        right: The right try's own thoughts.
        answer: Its answer; None when it gave none (then the judge was wrong).
        wrong: The wrong try's own thoughts, told first; empty in a direct chain.
        wrong_answer: What the wrong try answered, if anything.
    """

    shared: tuple[ParsedTurn, ...]
    right: tuple[ParsedTurn, ...]
    answer: str | None
    wrong: tuple[ParsedTurn, ...] = ()
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


def find_chains(
    tree: SearchTreeRecord, task: TaskRecord, *, image: ImageView, form: TreeForm
) -> list[Chain]:
    """Every direct and corrected chain, parents first; right is what the teacher's judge said.

    A terminal node without a rollout is judged here, by what its text answers. A wrong try whose
    answer our own judge calls right is no wrong try: turning around there would teach doubt.

    Args:
        tree: The tree.
        task: Its question, for the judge.
        image: The whole picture as the teacher saw it.
        form: How the tree's texts are written.
    """
    parse = parse_turn if form is TreeForm.TURNS else parse_thought
    found: list[Chain] = []
    for shared, node in _paths(tree.root, parse):
        tries = node.rollouts or _unrolled(node, task, image=image)
        right = [_parsed(one, parse) for one in tries if one.is_right]
        if not right:
            continue
        wrong = [
            _parsed(one, parse)
            for one in tries
            if not one.is_right and not task.is_right(one.answer, view=image)
        ]
        found += [Chain(shared, *good) for good in right]
        found += [Chain(shared, *good, *bad) for bad, good in _pairs(wrong, right) if bad[0]]
    return found


def _parsed(one: SearchRollout, parse: Callable[[str], ParsedTurn]) -> _Try:
    return tuple(map(parse, one.texts)), one.answer


def _unrolled(node: SearchNode, task: TaskRecord, *, image: ImageView) -> tuple[SearchRollout, ...]:
    """The one try of a terminal node that the file gives no rollout for."""
    if not node.is_terminal:
        return ()
    said = parse_thought(node.text)
    answer = said.think if said.answer is None else said.answer
    return (SearchRollout(answer, float(task.is_right(answer, view=image)), ()),)


def _paths(
    node: SearchNode, parse: Callable[[str], ParsedTurn], above: tuple[ParsedTurn, ...] = ()
) -> Iterator[tuple[tuple[ParsedTurn, ...], SearchNode]]:
    """A node and all below it, each with the thoughts that lead there from `above`."""
    yield above, node
    for child in node.children:
        yield from _paths(child, parse, (*above, parse(child.text)))


def _pairs(wrong: Sequence[_Try], right: Sequence[_Try]) -> Iterator[tuple[_Try, _Try]]:
    """All pairs, or of very many so many that every try is in about as many of them."""
    if len(wrong) * len(right) <= _MAX_PAIRS:
        return product(wrong, right)
    turns = (
        (bad, right[(number + shift) % len(right)])
        for shift in range(len(right))
        for number, bad in enumerate(wrong)
    )
    return islice(turns, _MAX_PAIRS)
