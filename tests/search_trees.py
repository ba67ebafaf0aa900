"""Search trees by hand, for tests of anything that reads one."""

from __future__ import annotations

from typing import Any

from vigorl.core.geometry import Point, Size
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord


def right(answer: str = "red") -> SearchRollout:
    return SearchRollout(answer, 1.0, ("<answer>red</answer>",))


def wrong(answer: str | None = "blue") -> SearchRollout:
    return SearchRollout(answer, 0.0, ())


def node(text: str = "<think> Look. </think>", **fields: Any) -> SearchNode:
    fields = {"is_terminal": False, "value": 0.0, "num_visits": 1} | fields
    return SearchNode(text, **fields)


def tree(*children: SearchNode, id: str = "t", image: str = "", **fields: Any) -> SearchTreeRecord:
    root = node("What colour is the disc?", children=children)
    fields = {"frame": Size(112, 112)} | fields
    return SearchTreeRecord(id, f"Which colour has {id}?", "red", image, root, **fields)


def two_deep(**fields: Any) -> SearchTreeRecord:
    """Two thoughts below the question, one below the first of them; 3 of 5 rollouts are right."""
    a, b, c = Point(10, 10), Point(56, 84), Point(100, 30)
    leaf = node(used_points=(a, b), rollouts=(right(), right()), value=1.0, is_hit=True)
    return tree(
        node(used_points=(a,), rollouts=(wrong(None), right()), children=(leaf,), value=0.75,
             num_visits=4, is_hit=False),
        node(used_points=(c,), rollouts=(wrong(),)),
        solved_at=3, num_simulations=4, **fields,
    )  # fmt: skip


def unsolved(**fields: Any) -> SearchTreeRecord:
    return tree(node(rollouts=(wrong(),)), num_simulations=2, **fields)
