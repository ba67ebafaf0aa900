"""The page of a search: its numbers, which trees it shows, and that no thought breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.search_trees import node, right, tree, two_deep, unsolved, wrong
from tests.unit.pages.outline import Outline
from tests.unit.rollout.world import World
from tests.unit.search.test_forest import SETTINGS, engine, tasks
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_tree import CheckedBy, SearchRollout, SearchTreeRecord
from vigorl.core.trace import parse_trace, render_answer_turn
from vigorl.data.images import ImageStore
from vigorl.pages.charts import Bar, histogram
from vigorl.pages.search import ChainCounts, pick_trees, render_search_page
from vigorl.pages.search_tree import MIDDLE, value_colour, value_shares
from vigorl.pages.spots import RIGHT, WRONG
from vigorl.search.forest import grow_forest

HOSTILE = "<script>alert(1)</script> & </details> \u202e"


def render(
    store: ImageStore,
    trees: list[SearchTreeRecord],
    given: list[TaskRecord] | None = None,
    **settings: Any,
) -> Outline:
    by_id = {task.id: task for task in given or []}
    return Outline(render_search_page(trees, by_id, images=store, title="search", **settings))


def test_values_are_shares_whether_means_or_sums() -> None:
    means = node(value=0.5, children=(node(value=1.0), node(value=-0.5)))
    assert value_shares(means) == {0: 0.5, 1: 1.0, 2: 0.0}
    below = (node(value=1.0, num_visits=2), node(num_visits=0))
    sums = node(value=3.0, num_visits=4, children=below)
    assert value_shares(sums) == {0: 0.75, 1: 0.5, 2: 0.0}


def test_colours_run_from_wrong_to_right() -> None:
    assert [value_colour(share) for share in (0.0, 0.5, 1.0)] == [WRONG, MIDDLE, RIGHT]
    assert value_colour(0.25) == "#e4a250"  # (d5+f3)/2, (5e+e7)/2, (00+a1)/2


# ---- which trees ---------------------------------------------------------------------------------


def test_trees_are_picked_of_every_kind() -> None:
    solved = [
        tree(node(rollouts=(right(),)), id=f"at{k}-{i}", solved_at=k)
        for k in (1, 2, 5)
        for i in range(3)
    ]
    trees = [*solved, *(unsolved(id=f"no{i}") for i in range(3))]

    def ids(num: int) -> list[str]:
        return [one.id for one in pick_trees(trees, num)]

    assert ids(1) == ["at5-0"]
    assert ids(4) == ["at5-0", "at5-1", "no0", "at1-0"]
    assert ids(11)[-6:] == ["no0", "no1", "no2", "at1-0", "at1-1", "at1-2"]
    assert len(ids(99)) == 12
    assert ids(0) == []
    assert [one.id for one in pick_trees([unsolved(id="a"), unsolved(id="b")], 9)] == ["a", "b"]


# ---- the page ------------------------------------------------------------------------------------


def test_the_page_shows_every_picked_tree_and_its_numbers(store: ImageStore, picture: str) -> None:
    trees = [two_deep(id="late", image=picture), unsolved(id="never", image=picture)]
    page = render(store, trees)
    for words in (
        "Which colour has late?", "Which colour has never?", "solved by simulation 3 of 4",
        "not solved in 2 simulations", "3 thoughts, up to 2 deep", "3 of 5 rollouts right",
        "0 of 1 rollout right", "1 of 2 looks hit a target", "9 to 91 %",  # Wilson, 1 of 2
        "✓ red ×2", "✗ no answer",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.values("id").count("picture-0") == 1  # one picture, embedded once
    only_first = render(store, trees, num_trees=1)
    assert "Which colour has late?" in only_first.text
    assert "Which colour has never?" not in only_first.text


def test_the_page_says_who_checked(store: ImageStore, picture: str) -> None:
    at = Point(30, 30)
    looks = [node(used_points=(at,), is_hit=hit) for hit in (True, True, False, None)]
    page = render(store, [tree(*looks, image=picture, checked_by=CheckedBy.JUDGE)])
    assert "2 of 3 looks hit a target, by the judge · 1 look without a verdict" in page.text
    assert "looks that hit, by the judge67 %" in page.text
    assert page.text.count("◎ hit") == 2
    boxes = render(store, [tree(*looks, image=picture, checked_by=CheckedBy.BOXES)])
    assert "2 of 3 looks hit a target · t" in boxes.text
    assert "judge" not in boxes.text


def test_discs_lie_where_thoughts_point(store: ImageStore, picture: str) -> None:
    page = render(store, [two_deep(image=picture)])
    circles = [attrs for tag, attrs in page.elements if tag == "circle" and attrs.get("fill")]
    discs = {(attrs["cx"], attrs["cy"]): attrs for attrs in circles if attrs.get("r") != "6"}
    # 112 px of the frame are 448 of the canvas: times 4
    assert {("40.0", "40.0"), ("224.0", "336.0"), ("400.0", "120.0")} <= set(discs)
    assert discs["224.0", "336.0"]["fill"] == RIGHT
    assert discs["400.0", "120.0"]["fill"] == WRONG
    assert discs["40.0", "40.0"]["r"] == "12.5"  # 7.5 + 5 sqrt(4 / 4): the most visited
    assert discs["224.0", "336.0"]["r"] == "10.0"  # 7.5 + 5 sqrt(1 / 4)
    paths = [attrs["d"] for tag, attrs in page.elements if tag == "path"]
    assert set(paths) == {"M40.0 40.0L224.0 336.0"}  # the root is nowhere, so one edge


def test_discs_hide_neither_each_other_nor_a_small_target(store: ImageStore, picture: str) -> None:
    same = [node(used_points=(Point(50, 20),), rollouts=(right(),), is_hit=True) for _ in range(12)]
    task = builders.task(id="t", images=(picture,), targets=(builders.DISC,))
    page = render(store, [tree(*same, image=picture)], [task])
    hits = [attrs for attrs in page.of_class("hit") if "." in (attrs["r"] or "")]
    centers = [Point(float(a["cx"] or 0), float(a["cy"] or 0)) for a in hits if a["cy"] != "12"]
    assert len(centers) == 12
    for i, one in enumerate(centers):
        assert all(one.distance(other) >= 0.9 * 2 * 12.5 - 0.2 for other in centers[:i])
        assert not Box(190, 70, 210, 90).contains(one)
        assert one.distance(Point(200, 80)) < 80
    dots = [attrs for tag, attrs in page.elements if tag == "circle" and attrs.get("r") == "2.2"]
    assert {(attrs["cx"], attrs["cy"]) for attrs in dots} == {("200.0", "80.0")}
    without = render(store, [tree(*same, image=picture)])
    assert page.text.count("target") == without.text.count("target") + 1  # its box, by its name


def test_the_right_answer_leads_the_many_that_were_given(store: ImageStore, picture: str) -> None:
    guesses = [node(rollouts=(wrong(f"guess {i}"),) * 2) for i in range(20)]
    found = node(rollouts=(right("the red one"),))
    page = render(store, [tree(*guesses, found, image=picture)])
    assert page.text.index("the red one") < page.text.index("guess 0") < page.text.index("guess 6")


def test_links_lead_to_thoughts_and_ids_are_unique(store: ImageStore, picture: str) -> None:
    page = render(store, [two_deep(id=f"t{i}", image=picture) for i in range(3)])
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = [value for value in page.values("href") if value.startswith("#")]
    assert len([link for link in links if "-n" in link]) == 9  # three thoughts of three trees
    assert {link[1:] for link in links} <= set(ids)


def test_the_way_to_the_first_right_rollout_is_open(store: ImageStore, picture: str) -> None:
    deep = node(rollouts=(right(),), text="<think> Deep. </think>")
    page = render(store, [tree(node(), node(children=(node(), deep)), image=picture)])
    thoughts = [attrs for tag, attrs in page.elements if tag == "details" and "class" not in attrs]
    assert ["open" in attrs for attrs in thoughts] == [False, True, False, True]


@pytest.mark.parametrize("where", ["text", "answer", "id", "question", "category", "title"])
def test_no_words_break_the_page(store: ImageStore, picture: str, where: str) -> None:
    words = {"text": "x", "answer": "x", "id": "t", "question": "x", "category": "x", "title": "x"}
    words[where] = HOSTILE
    thought = node(words["text"], rollouts=(right(words["answer"]), wrong(words["answer"])))
    record = SearchTreeRecord(
        words["id"], words["question"], words["answer"], picture,
        node(words["question"], children=(thought,)),
    )  # fmt: skip
    task = builders.task(id=words["id"], images=(picture,), category=words["category"])
    page = Outline(
        render_search_page([record], {words["id"]: task}, images=store, title=words["title"])
    )
    assert "<script>alert(1)</script> & </details>" in page.text
    assert "\u202e" not in page.text
    assert "script" not in page.tags


def test_stands_alone(store: ImageStore, picture: str) -> None:
    page = render_search_page([two_deep(image=picture)], {}, images=store, title="search")
    Outline(page).assert_stands_alone()
    assert "url(" not in page


def test_charts_of_chains_count_points_and_turns(store: ImageStore, picture: str) -> None:
    answer = render_answer_turn("At (7, 8) it is red.", "red")
    chains = [
        TraceRecord(builders.task(), parse_trace(turns))
        for turns in ([builders.call_text(50, 20), answer], [answer], [answer])
    ]
    page = render(store, [], chains=chains)
    assert "mean 1.3, 3 chains" in page.text  # both: (2 + 1 + 1) / 3
    counts = ChainCounts()
    assert list(counts.over(chains)) == chains
    assert render(store, [], chains=counts).text == page.text
    assert "length of chains" not in render(store, [two_deep(image=picture)]).text


def test_a_histogram_has_a_bar_for_every_number_between() -> None:
    chart = histogram([2, 2, 4], title="depth", xlabel="depth", ylabel="thoughts")
    assert chart.bars == (Bar("2", 2), Bar("3", 0), Bar("4", 1))
    wide = histogram([0, 27], title="depth", xlabel="depth", ylabel="thoughts").bars
    assert len(wide) == 14
    assert (wide[0], wide[-1]) == (Bar("0–1", 1), Bar("26–27", 1))


def test_bars_are_as_high_as_their_counts(store: ImageStore, picture: str) -> None:
    page = render(store, [two_deep(image=picture)])  # two thoughts at depth 1, one at depth 2
    assert [bar["height"] for bar in page.of_class("bar")] == ["136.0", "68.0"]


def test_without_trees_the_page_says_so(store: ImageStore) -> None:
    page = render(store, [])
    assert "No tree: the search finished none." in page.text
    assert "svg" not in page.tags


def test_a_tree_without_thoughts_or_task_is_shown(store: ImageStore, picture: str) -> None:
    page = render(store, [tree(image=picture, frame=None)])
    assert "no thought was kept" in page.text
    assert "not solved" in page.text


def test_a_missing_picture_is_named(store: ImageStore, tmp_path: Path) -> None:
    gone = tree(image=str(tmp_path / "gone.png"), source="trees.jsonl:3")
    with pytest.raises(DataError, match=r"trees\.jsonl:3"):
        render(store, [gone])


def test_a_real_search_is_shown(world: World) -> None:
    chosen = tasks(world)
    trees = list(grow_forest(engine(world), world.environment(), chosen, SETTINGS, run_seed=0))
    page = render(world.images, trees, chosen)
    thoughts = sum(len(list(one.root.walk())) - 1 for one in trees)
    assert len([one for one in page.values("id") if "-n" in one]) == thoughts


def test_single_tries_are_shown_with_their_words(store: ImageStore, picture: str) -> None:
    said = SearchRollout("red", 1.0, ("<think> Look. </think>", render_answer_turn("Red.", "red")))
    root = node("Which colour?", rollouts=(wrong(), said, right()))
    tries = SearchTreeRecord("t", "Which colour?", "red", picture, root, frame=Size(112, 112))
    page = render(store, [tries])
    is_open = ["open" in attrs for tag, attrs in page.elements if tag == "details"][-3:]
    assert is_open == [False, True, False]  # the first right one
    assert "Red." in page.text
    assert "no thought was kept" not in page.text
