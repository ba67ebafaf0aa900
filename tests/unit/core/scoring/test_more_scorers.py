"""Yes and no, numbers, formulas, boxes, polygons, several right answers, web steps."""

from __future__ import annotations

import pytest

from tests.builders import task, view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point
from vigorl.core.media import TextFrame
from vigorl.core.scoring import (
    BoxesOverlap,
    ItemsMatch,
    MathMatch,
    MmmuOpen,
    NumberMatch,
    OneOf,
    PointInPolygon,
    Scorer,
    WebStep,
    YesNo,
    algebra,
)
from vigorl.core.scoring.boxes import box_numbers, find_boxes
from vigorl.core.scoring.web_step import step_parts
from vigorl.data.plain import read_scorer, to_plain

# the unit square's lower left triangle, as shares of the 448 x 448 picture
TRIANGLE = PointInPolygon().for_answer("[(0, 0), (0, 1), (1, 1)]")


@pytest.mark.parametrize(
    "scorer",
    [
        YesNo(),
        NumberMatch(decimals=2, tolerance=0.1),
        MathMatch(),
        BoxesOverlap((Box(1.0, 2.0, 3.0, 4.0),), threshold=0.5),
        TRIANGLE,
        PointInPolygon(frame=TextFrame.UNIT),
        OneOf(("a", "b")),
        MmmuOpen(("a",)),
        WebStep(),
        ItemsMatch(is_ordered=True),
    ],
)
def test_files_keep_scorers(scorer: Scorer) -> None:
    assert read_scorer(to_plain(scorer)) == scorer


@pytest.mark.parametrize(
    ("scorer", "truth", "problem"),
    [
        (YesNo(), "maybe", "yes"),
        (NumberMatch(), "1,5", "a number"),
        (BoxesOverlap(), "[1, 2, 3]", "boxes"),
        (BoxesOverlap(), "[3, 2, 1, 4]", "boxes"),
        (PointInPolygon(), "[(1, 2), (3, 4)]", "three corners"),
        (PointInPolygon(), "the table", "three corners"),
        (WebStep(), "12", "an action"),
    ],
)
def test_right_answers_that_cannot_be_read(scorer: Scorer, truth: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        scorer.for_answer(truth)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("[40, 40, 60, 60]", 1.0),
        ("at <box>[40.0,40.0,60.0,60.0]</box>.", 1.0),
        ("(40, 40), (60, 60)", 1.0),
        ('{"bbox_2d": [40, 40, 60, 60]}', 1.0),
        ("[0, 0, 9, 9] or [40, 40, 60, 60]", 1.0),  # the best box of each target
        ("[50, 40, 70, 60]", 1 / 3),  # half of each: 200 of 600
        ("[60, 60, 40, 40]", 0.0),  # no box
        ("[40, 40, 60]", 0.0),
        ("there", 0.0),
        ("", 0.0),
    ],
)
def test_boxes(answer: str, share: float) -> None:
    # RESIZED is a quarter of ORIGINAL
    asked = task(scorer=BoxesOverlap((Box(160, 160, 240, 240),)), options=())
    assert asked.score(answer, view=view()) == pytest.approx(share)


def test_boxes_of_several_targets() -> None:
    targets = (Box(160, 160, 240, 240), Box(0, 0, 40, 40))
    asked = task(scorer=BoxesOverlap(), targets=targets, options=())
    assert asked.score("[40, 40, 60, 60]", view=view()) == 0.5
    assert BoxesOverlap(targets, 0.3).score("[50, 40, 70, 60]", asked, view=view()) == 0.5
    assert box_numbers("[40, 40, 60, 60]", targets, view=view()) == {
        "answered_boxes": 1.0,
        "iou": 0.5,
        "iou_where_answered": 0.5,
    }
    assert box_numbers("none", targets, view=view()) == {"answered_boxes": 0.0, "iou": 0.0}
    assert box_numbers("[40, 40, 60, 60]", (), view=view()) == {}


def test_boxes_of_another_frame() -> None:
    seen = view().in_frame(TextFrame.PERMILLE)
    assert find_boxes("[0, 0, 500, 250]", view=seen) == [Box(0, 0, 224, 112)]


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("(20, 90)", True),
        ("[20, 90]", True),
        ("[(20, 90), (90, 20)]", True),
        ("[[20, 90]]", True),
        ("(20, 20)", True),  # on the edge
        ("(0, 0)", True),
        (r"\boxed{(20, 90)}", True),
        ("The answer is (20, 90).", True),
        ("(90, 20)", False),
        ("[(90, 20), (20, 90)]", False),  # the first counts
        ("(0.2, 0.9) of it", False),
        ("(20, 113)", False),  # off the picture
        ("(20)", False),
        ("here", False),
        ("", False),
    ],
)
def test_polygons(answer: str, is_right: bool) -> None:
    asked = task(scorer=TRIANGLE, options=())
    assert asked.is_right(answer, view=view()) is is_right
    assert TRIANGLE.has_form(answer, view=view()) or not is_right


def test_a_polygon_in_pixels_and_answers_in_shares() -> None:
    scorer = PointInPolygon().for_answer("[(0, 0), (0, 448), (448, 448)]")
    assert not scorer.is_unit
    asked = task(scorer=PointInPolygon(scorer.corners, frame=TextFrame.UNIT), options=())
    assert asked.is_right("(0.2, 0.9)", view=view())
    assert not asked.is_right("(0.9, 0.2)", view=view())
    assert not asked.is_right("(20, 90)", view=view())
    assert TRIANGLE.place("(20, 90)", view=view()) == Point(20, 90)


@pytest.mark.parametrize(
    ("answer", "truth", "parts"),
    [
        ("click [12]", "click [12]", [1, 1]),
        ("click [13]", "click [12]", [1, 0]),
        ("type [12] [x]", "click [12]", [0, 0]),  # another kind of action is at no element
        ("type [7] [Red  Shoes]", "type [7] [red shoes]", [1, 1, 1]),
        ("type [7] [red shoes] [1]", "type [7] [red shoes]", [1, 1, 1]),
        ("type [7] [red]", "type [7] [red shoes]", [1, 1, 0]),
        ("type [7]", "type [7] [red shoes]", [1, 1, 0]),
        ("scroll [up]", "scroll [down]", [1, 0]),
        ("stop [no]", "stop [yes]", [1]),
        ("go_back", "go_back", [1]),
        (None, "go_back", [0]),
        ("I click [12]", "click [12]", [0, 0]),
    ],
)
def test_web_steps(answer: str | None, truth: str, parts: list[float]) -> None:
    assert list(step_parts(answer, truth).values()) == parts
    assert task(answer=truth, options=(), scorer=WebStep()).score(answer) == float(all(parts))


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("$5", True),
        ("five dollars.", True),
        ("5 dollars", True),
        ("6 dollars", False),
        ("not $5", False),
        ("", False),
    ],
)
def test_one_of(answer: str, is_right: bool) -> None:
    scorer = OneOf().for_answer("['$5', 'five dollars']")
    assert task(answer="$5", options=(), scorer=scorer).is_right(answer) is is_right


@pytest.mark.parametrize(
    ("answer", "truth", "is_right"),
    [
        ("The answer is 30.", "30", True),
        ("so 30.004", "30", True),  # to two decimals
        ("x = 1,234", "1234", True),
        ("It is a red disc", "['red', 'crimson']", True),
        ("not red", "red", True),  # as MMMU does it
        ("31", "30", False),
        ("blue", "red", False),
    ],
)
def test_mmmu_open(answer: str, truth: str, is_right: bool) -> None:
    scorer = MmmuOpen().for_answer(truth)
    assert task(answer=truth, options=(), scorer=scorer).is_right(answer) is is_right


def test_without_math_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    algebra.require_algebra.cache_clear()
    monkeypatch.setattr(algebra, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install math-verify"):
        MathMatch()


@pytest.mark.slow
@pytest.mark.parametrize("endless", ["9^{9^{9^{9}}}", r"\int_0^{\infty} e^{-x^x} dx"])
def test_algebra_ends(endless: str) -> None:
    assert not algebra.are_equal(endless, "1")
    assert algebra.are_equal("x + 1", "1 + x")


@pytest.mark.parametrize(
    ("answer", "any_order", "in_order"),
    [
        ("red disc: vertical; blue square: rising", 1.0, 1.0),
        ("The answer is Red disc :vertical ;\nblue  square: rising.", 1.0, 1.0),
        ("The answer is:\nred disc: vertical\nblue square: rising", 1.0, 1.0),
        ("blue square: rising; red disc: vertical", 1.0, 0.0),
        ("red disc: vertical", 1 / 2, 1 / 2),
        ("red disc: vertical; blue square: falling", 1 / 2, 1 / 2),
        ("red disc: vertical; red disc: vertical", 1 / 2, 1 / 2),  # one of them is one too many
        # three guesses about one of two: right once, over three
        ("red disc: vertical; red disc: rising; red disc: falling", 1 / 3, 1 / 3),
        ("", 0.0, 0.0),
        (None, 0.0, 0.0),
    ],
)
def test_items_pay_the_share_that_is_right(
    answer: str | None, any_order: float, in_order: float
) -> None:
    asked = task(answer="red disc: vertical; blue square: rising", options=())
    assert ItemsMatch().score(answer, asked) == any_order
    assert ItemsMatch(is_ordered=True).score(answer, asked) == in_order
