"""What a search found, in numbers."""

from __future__ import annotations

from tests.search_trees import node, right, tree, two_deep, unsolved
from vigorl.core.geometry import Point
from vigorl.core.search_metrics import numbered_nodes, search_metrics
from vigorl.core.search_tree import CheckedBy


def test_metrics_are_means_over_what_was_counted() -> None:
    assert search_metrics([two_deep(), unsolved()]) == {
        "search/solved_frac": 1 / 2,
        "search/mixed_frac": 1 / 2,
        "search/solved_at_mean": 3.0,
        "search/nodes_mean": 2.0,  # (3 + 1) / 2; the question is no thought
        "search/depth_mean": 1.5,  # (2 + 1) / 2
        "search/simulations_mean": 3.0,  # (4 + 2) / 2
        "search/rollouts_mean": 3.0,  # (5 + 1) / 2
        "search/right_frac": 3 / 6,  # over rollouts, not the mean of 3/5 and 0
        "search/no_answer_frac": 1 / 6,
        "search/hit_frac": 1 / 2,  # two thoughts of four were checked
    }


def test_what_a_judge_said_is_a_number_of_its_own() -> None:
    judged = tree(node(is_hit=True), node(is_hit=True), node(), checked_by=CheckedBy.JUDGE)
    found = search_metrics([two_deep(), judged])
    assert found["search/hit_frac"] == 1 / 2
    assert found["search/judged_hit_frac"] == 1.0
    assert "search/hit_frac" not in search_metrics([judged])


def test_metrics_without_a_case_are_left_out() -> None:
    assert search_metrics([]) == {}
    bare = search_metrics([tree(frame=None)])
    assert bare["search/nodes_mean"] == 0.0
    assert not {"search/solved_at_mean", "search/right_frac", "search/hit_frac"} & set(bare)
    all_right = tree(node(rollouts=(right(), right())))
    assert search_metrics([all_right])["search/mixed_frac"] == 0.0


def test_points_of_a_thought_are_those_that_its_parent_has_not() -> None:
    places = numbered_nodes(two_deep().root)
    assert [(place.number, place.depth, place.parent) for place in places] == [
        (0, 0, None), (1, 1, 0), (2, 2, 1), (3, 1, 0),
    ]  # fmt: skip
    assert [place.points for place in places] == [
        (), (Point(10, 10),), (Point(56, 84),), (Point(100, 30),),
    ]  # fmt: skip
    # a thought may come back to a point; a foreign file may list points in another order
    a, b = Point(1, 1), Point(2, 2)
    again = node(used_points=(a,), children=(node(used_points=(a, a)), node(used_points=(b, a))))
    assert [place.points for place in numbered_nodes(again)] == [(a,), (a,), (b,)]
