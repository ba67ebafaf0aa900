"""The page of a search: its numbers, which trees it shows, and that no thought breaks it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from tests import builders
from tests.unit.rollout.world import World
from tests.unit.search.test_forest import SETTINGS, engine, tasks
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import parse_trace, render_answer_turn
from vigorl.data.images import ImageStore
from vigorl.families.qwen_vl import Qwen25VL
from vigorl.rollout.picture import RIGHT, WRONG
from vigorl.search.forest import ForestStats, grow_forest
from vigorl.search.metrics import numbered_nodes, solved_shares
from vigorl.search.report import pick_trees, render_search_page, search_metrics
from vigorl.search.report_charts import histogram
from vigorl.search.report_tree import MIDDLE, value_colour, value_shares

VOID = {"meta", "img", "br"}
HOSTILE = "<script>alert(1)</script> & </details> \u202e"


@pytest.fixture(scope="module")
def store() -> ImageStore:
    size = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    return ImageStore(
        Qwen2VLImageProcessorPil(size=size, patch_size=14, merge_size=2), family=Qwen25VL()
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "disc.png"
    Image.new("RGB", (448, 448), "#556677").save(path)
    return str(path)


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


class Page(HTMLParser):
    """Fails on a tag without its partner; keeps start tags, ids, links and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name))]

    def of_class(self, css: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if css in (attrs.get("class") or "").split()]


def render(
    store: ImageStore,
    trees: list[SearchTreeRecord],
    given: list[TaskRecord] | None = None,
    **settings: Any,
) -> Page:
    by_id = {task.id: task for task in given or []}
    return Page(render_search_page(trees, by_id, images=store, title="search", **settings))


# ---- numbers -------------------------------------------------------------------------------------


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


def test_solved_shares_add_up_to_the_last_simulation() -> None:
    at_once = tree(node(rollouts=(right(),)), solved_at=1, num_simulations=4)
    shares = solved_shares([two_deep(), at_once, unsolved(), unsolved()])
    assert [(s.simulation, s.share) for s in shares] == [(1, 0.25), (2, 0.25), (3, 0.5), (4, 0.5)]
    assert all(s.low < s.share < s.high for s in shares)


def test_a_tree_that_did_not_note_when_it_was_solved_is_not_counted_as_late() -> None:
    silent = tree(node(rollouts=(right(),)))
    assert [s.share for s in solved_shares([two_deep(), silent])] == [0.0, 0.0, 1.0, 1.0]
    assert solved_shares([silent]) == []


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
    page = render(store, trees, stats=ForestStats(num_repeats=17, num_requests=1234, is_cut=True))
    for words in (
        "Which colour has late?", "Which colour has never?", "solved by simulation 3 of 4",
        "not solved in 2 simulations", "3 thoughts, up to 2 deep", "3 of 5 rollouts right",
        "0 of 1 rollout right", "1 of 2 looks hit a target", "9 to 91 %",  # Wilson, 1 of 2
        "1,234 requests", "thoughts asked again17", "cut by its budget", "✓ red ×2", "✗ no answer",
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
    circles = [attrs for tag, attrs in page.tags if tag == "circle" and attrs.get("fill")]
    discs = {(attrs["cx"], attrs["cy"]): attrs for attrs in circles if attrs.get("r") != "6"}
    # 112 px of the frame are 448 of the canvas: times 4
    assert {("40.0", "40.0"), ("224.0", "336.0"), ("400.0", "120.0")} <= set(discs)
    assert discs["224.0", "336.0"]["fill"] == RIGHT
    assert discs["400.0", "120.0"]["fill"] == WRONG
    assert discs["40.0", "40.0"]["r"] == "12.5"  # 7.5 + 5 sqrt(4 / 4): the most visited
    assert discs["224.0", "336.0"]["r"] == "10.0"  # 7.5 + 5 sqrt(1 / 4)
    paths = [attrs["d"] for tag, attrs in page.tags if tag == "path"]
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
    dots = [attrs for tag, attrs in page.tags if tag == "circle" and attrs.get("r") == "2.2"]
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
    thoughts = [attrs for tag, attrs in page.tags if tag == "details" and "class" not in attrs]
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
    page = Page(
        render_search_page([record], {words["id"]: task}, images=store, title=words["title"])
    )
    assert "<script>alert(1)</script> & </details>" in page.text
    assert "\u202e" not in page.text
    assert "script" not in {tag for tag, _ in page.tags}


def test_nothing_is_loaded_from_elsewhere(store: ImageStore, picture: str) -> None:
    html = render_search_page([two_deep(image=picture)], {}, images=store, title="search")
    assert all(
        link.startswith(("#", "data:image/"))
        for link in re.findall(r"""(?:href|src)=["']([^"']*)""", html)
    )
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html


def test_charts_of_chains_count_points_and_turns(store: ImageStore, picture: str) -> None:
    answer = render_answer_turn("At (7, 8) it is red.", "red")
    chains = [
        TraceRecord(builders.task(), parse_trace(turns))
        for turns in ([builders.call_text(50, 20), answer], [answer], [answer])
    ]
    page = render(store, [], chains=chains)
    assert "mean 1.3, 3 chains" in page.text  # both: (2 + 1 + 1) / 3
    assert "length of chains" not in render(store, [two_deep(image=picture)]).text


def test_a_histogram_has_a_bar_for_every_number_between(store: ImageStore) -> None:
    chart = Page(histogram([2, 2, 4], title="depth", xlabel="depth", ylabel="thoughts"))
    heights = [float(attrs["height"] or 0) for attrs in chart.of_class("bar")]
    assert heights == [pytest.approx(136), 0.0, pytest.approx(68)]  # 2, none, 1
    wide = Page(histogram([0, 27], title="depth", xlabel="depth", ylabel="thoughts"))
    assert len(wide.of_class("bar")) == 14
    assert "0–1" in wide.text
    assert "26–27" in wide.text


def test_without_trees_the_page_says_so(store: ImageStore) -> None:
    page = render(store, [])
    assert "No tree: the search finished none." in page.text
    assert "svg" not in {tag for tag, _ in page.tags}
    assert "No tree" in render(store, [], stats=ForestStats(num_requests=3)).text


def test_a_tree_without_thoughts_or_task_is_shown(store: ImageStore, picture: str) -> None:
    page = render(store, [tree(image=picture, frame=None)])
    assert "no thought was kept" in page.text
    assert "not solved" in page.text


def test_a_missing_picture_is_named(store: ImageStore, tmp_path: Path) -> None:
    gone = tree(image=str(tmp_path / "gone.png"), source="trees.jsonl:3")
    with pytest.raises(DataError, match=r"trees\.jsonl:3"):
        render(store, [gone])


def test_a_real_search_is_shown(world: World) -> None:
    stats: list[ForestStats] = []
    chosen = tasks(world)
    grown = grow_forest(
        engine(world), world.environment(), chosen, SETTINGS, run_seed=0, on_progress=stats.append
    )
    trees = list(grown)
    page = render(world.images, trees, chosen, stats=stats[-1])
    thoughts = sum(len(list(one.root.walk())) - 1 for one in trees)
    assert len([one for one in page.values("id") if "-n" in one]) == thoughts
    assert stats[-1].num_solved / 5 == search_metrics(trees)["search/solved_frac"]


def test_single_tries_are_shown_with_their_words(store: ImageStore, picture: str) -> None:
    said = SearchRollout("red", 1.0, ("<think> Look. </think>", render_answer_turn("Red.", "red")))
    root = node("Which colour?", rollouts=(wrong(), said, right()))
    tries = SearchTreeRecord("t", "Which colour?", "red", picture, root, frame=Size(112, 112))
    page = render(store, [tries])
    is_open = ["open" in attrs for tag, attrs in page.tags if tag == "details"][-3:]
    assert is_open == [False, True, False]  # the first right one
    assert "Red." in page.text
    assert "no thought was kept" not in page.text
