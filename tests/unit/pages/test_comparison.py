"""The page of two models: what it says of them, and what it shows of each question that flipped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import builders
from tests.unit.evaluation.outcomes import outcome, report
from tests.unit.pages.conftest import at
from tests.unit.pages.outline import Outline
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.evaluation.comparison import Pair, compare_all
from vigorl.pages.comparison import Flip, Side, render_comparison_page


def side(model: str, rollout: Rollout | None, score: float = 1.0, answers: int = 1) -> Side:
    scored = rollout and ScoredRollout(rollout, RewardBreakdown(1.0))
    return Side(model, rollout.answer if rollout else "blue", score, answers, scored)


@pytest.fixture
def pairs() -> list[Pair]:
    before = report(*(outcome(str(i), i > 5, cluster=str(i // 2)) for i in range(8)))
    after = report(*(outcome(str(i), i > 1, cluster=str(i // 2)) for i in range(8)))
    return compare_all({"start": {"vstar": before}, "end": {"vstar": after}})


def page_of(store: ImageStore, pairs: list[Pair], *flips: Flip) -> Outline:
    page = render_comparison_page(
        pairs, flips, images=store, title="end against start", num_flipped=4
    )
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    outline = Outline(page)
    outline.assert_stands_alone()
    return outline


def test_says_how_sure_the_difference_is(store: ImageStore, pairs: list[Pair]):
    (one,) = pairs
    outline = page_of(store, pairs)
    found = one.found
    for words in (
        "vstar accuracy 25.0 start 75.0 end +50.0",
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
        "0.500 0.500",  # two pictures: all ways to swap are as far
        "4, 0",
        "8 in 4 clusters",
        "4 questions with different scores",
    ):
        assert words in outline.text
    assert len(outline.of_class("interval")) == 1
    assert "different protocols" not in outline.text


def test_other_protocols_are_marked(store: ImageStore, pairs: list[Pair]):
    found = replace(pairs[0].found, protocol_differences=("env.tools", "limit"), smallest=None)
    outline = page_of(store, [replace(pairs[0], found=found)])
    assert "different protocols, which differ in env.tools; limit" in outline.text


def test_both_answers_stand_side_by_side(store: ImageStore, picture: str, pairs: list[Pair]):
    wrong = at(picture, builders.rollout(builders.zoom_turn(90, 90), builders.answer_turn("blue")))
    right = at(picture, builders.rollout())
    flip = Flip("vstar", "disc", "colour", "red", (side("start", wrong, 0.0), side("end", right)))
    outline = page_of(store, pairs, flip)
    for words in (
        "What colour is the disc?",
        "vstar · colour · disc · became better",
        "✓ red",
        "start✗ blue",
        "end✓ red",
        "what it wrote and was shown, 2 turns",
    ):
        assert words in outline.text
    assert outline.tags["image"] == 1  # the picture once
    assert outline.tags["use"] == 1  # and again
    assert outline.tags["img"] == 2  # what each was shown
    assert outline.tags["details"] == 2


def test_what_is_not_there_is_said(store: ImageStore, pairs: list[Pair]):
    moved = side("end", builders.rollout(), 0.5, answers=4)
    flip = Flip("vstar", "<b>odd</b>", "", "red", (side("start", None, 0.0), moved))
    outline = page_of(store, pairs, flip)
    assert "its rollout was not recorded beside the report" in outline.text
    assert "the picture cannot be shown: disc.png: there is no such picture file" in outline.text
    assert "score 0.50 of 4 answers" in outline.text
    alone = page_of(store, pairs, replace(flip, sides=(flip.sides[0], side("end", None))))
    assert "right: red" in alone.text
    assert "<b>odd</b>" in alone.text
