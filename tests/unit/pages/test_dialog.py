"""A dialog as a part of a page."""

from __future__ import annotations

import re

from tests import builders
from tests.unit.pages.conftest import at
from vigorl.core.rollout import StopReason
from vigorl.data.images import ImageStore
from vigorl.pages.dialog import render_dialog, render_votes


def test_turns_say_who_took_them_and_how_sure_they_are(store: ImageStore, picture: str) -> None:
    hostile = builders.answer_turn("<img src=x onerror=alert(1)>", think="</p><script>")
    rollout = at(picture, builders.rollout(builders.zoom_turn(), hostile))
    page = render_dialog(
        rollout.turns,
        images=store,
        confidences=[None, 0.934],
        own_looks=[True, False],
        stop_reason=StopReason.ANSWERED,
        right="red",
    )
    assert re.findall(r"you looked|the policy", page) == ["you looked", "the policy"]
    assert "93 % sure" in page
    assert page.count('class="crop"') == 1
    assert "✗ right would be: red" in page
    assert "<script>" not in page
    assert "<img src=x" not in page


def test_a_turn_that_is_written_and_one_that_never_came(store: ImageStore) -> None:
    nothing = {"images": store, "confidences": [], "own_looks": []}
    page = render_dialog([], **nothing, writing="<think> The di")
    assert '<p class="think">The di</p>' in page
    page = render_dialog([], **nothing, stop_reason=StopReason.TURN_LENGTH)
    assert "longer than it may be" in page


def test_votes_are_bars() -> None:
    page = render_votes([("red", 3), (None, 1)], right="red")
    assert re.findall(r"width:(\d+)%", page) == ["75", "25"]
    assert "4 answers" in page
    assert "red ✓" in page
    assert "no answer" in page
