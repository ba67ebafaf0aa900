from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pages.outline import Outline
from vigorl.core.spans import Kind, Span, Timeline
from vigorl.pages.timeline import picture_of, render_timeline, show_on_page


def timeline(rank: int, *spans: tuple[Kind, float, float], begun_s: float = 0.0) -> Timeline:
    return Timeline(rank, begun_s, 10.0, [Span(*one, 0) for one in spans])


RANKS = [
    timeline(0, (Kind.GENERATE, 0.0, 6.0), (Kind.ENGINE, 1.0, 5.0), (Kind.FORWARD, 6.0, 9.0)),
    timeline(1, (Kind.GENERATE, 0.0, 4.0), (Kind.WAIT, 4.0, 6.0), (Kind.FORWARD, 6.0, 10.0)),
]


def test_a_rank_has_a_lane_for_what_lies_in_what() -> None:
    one = picture_of(RANKS)
    assert [lane.name for lane in one.lanes] == ["rank 0", "", "rank 1"]
    outer, inner, other = ([(bar.kind, bar.width) for bar in lane.bars] for lane in one.lanes)
    assert outer == [("generate", pytest.approx(540)), ("forward", pytest.approx(270))]
    assert inner == [("engine", pytest.approx(360))]  # 4 of 10 s, on 900 units
    assert [kind for kind, _ in other] == ["generate", "wait", "forward"]


def test_the_numbers_add_up_to_the_phase() -> None:
    shares = {one.kind: one for one in picture_of(RANKS).shares}
    assert shares["generate"].seconds == (2.0 + 4.0) / 2  # of rank 0 without its engine
    assert (shares["forward"].least_s, shares["forward"].most_s) == (3.0, 4.0)
    assert shares["else"].seconds == 0.5
    assert sum(one.share for one in shares.values()) == pytest.approx(1.0)


def test_many_short_spans_are_few_bars() -> None:
    spans = [(Kind.TOOL, i / 1000, i / 1000 + 0.0008) for i in range(10_000)]
    one = picture_of([timeline(0, *spans)])
    assert len(one.lanes[0].bars) == 1
    assert {share.kind: share.num for share in one.shares}["tool"] == 10_000


def test_ranks_that_begin_later_stand_further_right() -> None:
    late = timeline(1, (Kind.WAIT, 0.0, 10.0), begun_s=5.0)
    one = picture_of([timeline(0, (Kind.WAIT, 0.0, 10.0)), late])
    first, second = (lane.bars[0] for lane in one.lanes)
    assert second.x - first.x == pytest.approx(900 * 5 / 15)


def test_the_page_stands_alone() -> None:
    page = Outline(render_timeline(RANKS, phase=3))
    assert "phase 3: where its time goes" in page.text
    assert "phase_0003.json" in page.values("href")
    assert not {"script", "link"} & set(page.tags)


def test_a_page_of_before_gets_the_picture_once(tmp_path: Path) -> None:
    page = tmp_path / "train_phase_0003.html"
    assert not show_on_page(page, RANKS)
    page.write_text("<html><!--timeline--><!--/timeline--></html>")
    assert show_on_page(page, RANKS)
    first = page.read_text()
    assert show_on_page(page, RANKS)
    assert page.read_text() == first
    assert Outline(first).tags["section"] == 1
    assert "../profile/phase_0003.json" in Outline(first).values("href")
