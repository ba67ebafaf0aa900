"""What the small charts of a search's page show."""

from __future__ import annotations

from tests.search_trees import node, right, tree, two_deep, unsolved
from vigorl.pages.charts import solved_shares


def test_solved_shares_add_up_to_the_last_simulation() -> None:
    at_once = tree(node(rollouts=(right(),)), solved_at=1, num_simulations=4)
    shares = solved_shares([two_deep(), at_once, unsolved(), unsolved()])
    assert [(s.simulation, s.share) for s in shares] == [(1, 0.25), (2, 0.25), (3, 0.5), (4, 0.5)]
    assert all(s.low < s.share < s.high for s in shares)


def test_a_tree_that_did_not_note_when_it_was_solved_is_not_counted_as_late() -> None:
    silent = tree(node(rollouts=(right(),)))
    assert [s.share for s in solved_shares([two_deep(), silent])] == [0.0, 0.0, 1.0, 1.0]
    assert solved_shares([silent]) == []
