from __future__ import annotations

import re
from dataclasses import replace

from tests import builders
from tests.unit.pages.conftest import at
from tests.unit.pages.outline import Outline
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.group_view import TokenFacts, render_group_page, token_texts
from vigorl.pages.phases import PageLinks


def bytes_of(ids: object) -> str:
    return bytes(ids).decode(errors="replace")  # type: ignore[call-overload]


def test_a_character_of_several_tokens_stands_at_the_last():
    ids = "a é€".encode()
    assert token_texts(ids, bytes_of) == ["a", " ", "", "é", "", "", "€"]
    assert token_texts(b"\xff" * 7, bytes_of)[5] == "\ufffd" * 6  # never a character


def test_rollouts_stand_side_by_side_with_each_token_in_its_colours(
    store: ImageStore, picture: str
):
    """Gaps of 0.2 and -0.02 nats; advantages to the scale of the largest on the page."""
    answers = [builders.answer_turn(one, num_tokens=2) for one in ("red", "blue", "red")]
    group = [
        ScoredRollout(
            at(picture, builders.rollout(turn, index=i)),
            RewardBreakdown(reward, {"accuracy": reward}),
            advantage,
        )
        for i, (turn, reward, advantage) in enumerate(
            zip(answers, (0.5, 0.0, 1.0), (0.2, -1.0, 0.8), strict=True)
        )
    ]
    facts = [
        TokenFacts((0.2, 0.2), (-0.7, -0.48)),
        TokenFacts((-1.0, 0.0), (-0.5, -0.5)),
        TokenFacts(),
    ]
    page = render_group_page(
        group,
        facts,
        images=store,
        decode=lambda ids: "<b>" if ids == [100] else "",
        title="train, phase 3",
        links=PageLinks("../index.html", up="phase.html", up_words="phase 3"),
    )
    outline = Outline(page)
    assert re.findall(r'<article id="(r\d)"', page) == ["r2", "r0", "r1"]  # the best first
    spans = re.findall(r'<span class="(q\d[^"]*)" title="([^"]*)">([^<]*)</span>', page)
    assert [css for css, _, _ in spans] == [
        "q2", "q2", "q2 p1 e3", "q2 p1 t1", "q2 m5 t0", "q2 p0 t0"
    ]  # fmt: skip
    assert spans[2][1:] == (
        "probability 0.607, advantage +0.2, engine − trainer +0.2 nats",
        "&lt;b&gt;",
    )
    assert spans[3][2] == "▫"  # a control token
    assert "widest gap 0.2 nats, 2 tokens apart" in outline.text
    assert outline.tags["script"] == 0


def test_long_rollouts_are_cut_and_say_so(store: ImageStore, picture: str):
    long = builders.rollout(builders.answer_turn(num_tokens=2100))
    one = replace(builders.scored(at(picture, long)), advantage=1.0)
    links = PageLinks("../index.html")
    page = render_group_page(
        [one], [TokenFacts()], images=store, decode=lambda _: "x", title="t", links=links
    )
    assert page.count('<span class="q2"') == 2000
    assert "100 further tokens not shown" in page
