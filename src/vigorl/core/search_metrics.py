"""What a search found in numbers: means over trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vigorl.core.geometry import Point
from vigorl.core.metrics import means
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchTreeRecord


@dataclass(frozen=True, slots=True)
class NumberedNode:
    """A node and its place in its tree.

    Attributes:
        node: The thought.
        number: In reading order, parents first; the root is 0.
        depth: Thoughts from the question to here, this one included; the root's is 0.
        parent: Its parent's number; None for the root.
        points: That this thought added to its path, in the tree's frame.
    """

    node: SearchNode
    number: int
    depth: int
    parent: int | None
    points: tuple[Point, ...]


def numbered_nodes(root: SearchNode) -> list[NumberedNode]:
    """All nodes in reading order; the root comes first."""
    nodes: list[NumberedNode] = []

    def visit(node: SearchNode, above: NumberedNode | None) -> None:
        depth, parent = (0, None) if above is None else (above.depth + 1, above.number)
        before = () if above is None else above.node.used_points
        here = NumberedNode(node, len(nodes), depth, parent, _added(node.used_points, before))
        nodes.append(here)
        for child in node.children:
            visit(child, here)

    visit(root, None)
    return nodes


def search_metrics(trees: Iterable[SearchTreeRecord]) -> dict[str, float]:
    """Means over trees; a metric that nothing was counted for is left out, so none is ever NaN.

    Keys, each with `search/` before it. Per tree: `solved_frac` (a right answer somewhere),
    `mixed_frac` (right and wrong rollouts: of such a tree there is something to learn),
    `nodes_mean` (thoughts; the question is none), `depth_mean` (of the deepest thought),
    `rollouts_mean`, `simulations_mean` where it was noted; `solved_at_mean` of solved trees that
    noted it. Over all rollouts, `right_frac` and `no_answer_frac`. Over all thoughts that were
    checked, `hit_frac` by the data's boxes and `judged_hit_frac` by a judge: two instruments, whose
    numbers do not compare.
    """
    sums: dict[str, tuple[float, int]] = dict.fromkeys(_TREE_METRICS, (0.0, 0))
    for tree in trees:
        for name, value in _tree_values(tree):  # whole numbers: their sum is exact
            total, count = sums[name]
            sums[name] = (total + value, count + 1)
    return means({f"search/{name}": one for name, one in sums.items()})


_TREE_METRICS = (
    "solved_frac", "mixed_frac", "solved_at_mean", "nodes_mean", "depth_mean", "simulations_mean",
    "rollouts_mean", "right_frac", "no_answer_frac", "hit_frac", "judged_hit_frac",
)  # fmt: skip


def _tree_values(tree: SearchTreeRecord) -> Iterator[tuple[str, float]]:
    thoughts = numbered_nodes(tree.root)[1:]
    rollouts = [rollout for node in tree.root.walk() for rollout in node.rollouts]
    are_right = [rollout.is_right for rollout in rollouts]
    yield "solved_frac", float(any(are_right))
    yield "mixed_frac", float(any(are_right) and not all(are_right))
    yield "nodes_mean", float(len(thoughts))
    yield "depth_mean", float(max((place.depth for place in thoughts), default=0))
    yield "rollouts_mean", float(len(rollouts))
    if tree.solved_at is not None:
        yield "solved_at_mean", float(tree.solved_at)
    if tree.num_simulations is not None:
        yield "simulations_mean", float(tree.num_simulations)
    for rollout in rollouts:
        yield "right_frac", float(rollout.is_right)
        yield "no_answer_frac", float(rollout.answer is None)
    is_judged = tree.checked_by is CheckedBy.JUDGE
    for place in thoughts:
        if place.node.is_hit is not None:
            yield "judged_hit_frac" if is_judged else "hit_frac", float(place.node.is_hit)


def _added(points: tuple[Point, ...], before: tuple[Point, ...]) -> tuple[Point, ...]:
    """What is new of a path's points; a foreign file may not begin with those of the parent."""
    if points[: len(before)] == before:
        return points[len(before) :]
    return tuple(point for point in points if point not in before)
