"""What passes a check, on pages that are told instead of loaded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.rollout.fake_judge import FakeJudge
from vigorl.evaluation.web.checks import (
    Check,
    Ending,
    PageImages,
    ProgramHtml,
    Required,
    StringMatch,
    UrlMatch,
    Verdict,
    Where,
)
from vigorl.evaluation.web.judge import WebJudge
from vigorl.evaluation.web.page import PageError, Tab
from vigorl.evaluation.web.site_functions import Call

YES, NO = Verdict(True, True), Verdict(False, False)
JUDGED = Verdict(True, False)  # a judge said yes


@dataclass
class TellTab:
    """Finds what it is told that a script finds; an exception is raised."""

    url: str = "http://shop/last"
    found: Any = ""

    def content(self) -> str:
        return "<p>All of it</p>"

    def evaluate(self, script: str, argument: Any = None) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@dataclass
class TellEpisode:
    front: Tab
    files: Mapping[str, bytes] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    def beside(self, url: str) -> Tab:
        self.opened.append(url)
        return self.front

    def fetch(self, url: str) -> bytes:
        if url not in self.files:
            raise PageError(f"{url} is not there")
        return self.files[url]


def judge(reply: str) -> WebJudge:
    made = WebJudge(urls=["http://judge"], model="m")
    made.__dict__["judge"] = FakeJudge(lambda prompt: reply)
    return made


def verdict(check: Check, *, answer: str = "", found: Any = "", **fields: Any) -> Verdict:
    episode = TellEpisode(TellTab(found=found), fields.pop("files", {}))
    given = {"intent": "Do it.", "answer": answer, "url": "http://shop/last", "episode": episode}
    return check.verdict(Ending(**(given | fields)))


def string(**rules: tuple[str, ...]) -> StringMatch:
    return StringMatch(Required(rules, reason="It is sold out."))


@pytest.mark.parametrize(
    ("rules", "answer", "is_met"),
    [
        ({"exact_match": ("555",)}, "555", True),
        ({"exact_match": ("555",)}, "It is 555", False),
        ({"must_include": ("red", "mug")}, "a red mug", True),
        ({"must_include": ("red", "mug")}, "a red cup", False),
        ({"must_exclude": ("red",)}, "a mug", True),
        ({"must_exclude": ("blue", "red")}, "a red mug", False),
        ({"one_of": ("circle", "round")}, "it is rounded", True),
        ({"must_include": ("1.04",), "one_of": ("circle",)}, "1.04", False),  # each rule counts
        ({"required_values": (">= 2", "< 3")}, "2", True),
        ({"required_values": (">= 2", "< 3")}, "two", False),
        ({"must_include": ("5",)}, "", False),  # "Early stop: Same action for 5 times" is no answer
    ],
)
def test_answers(rules: dict[str, tuple[str, ...]], answer: str, is_met: bool):
    assert verdict(string(**rules), answer=answer) == Verdict.ruled(is_met)


def test_a_judge_is_asked_where_rules_do_not_say():
    same, other = judge("Same."), judge("different")
    impossible = string(fuzzy_match=("N/A",))
    assert not impossible.needs_judge
    assert verdict(impossible, answer="n/a") == YES
    assert verdict(impossible, answer="n/a", judge=other) == YES
    assert verdict(impossible, answer="It is sold out") == NO
    assert verdict(impossible, answer="It is sold out", judge=same) == JUDGED
    assert verdict(impossible, answer="It is sold out", judge=other) == NO
    assert verdict(impossible, answer="", judge=same) == NO

    fuzzy = string(fuzzy_match=("a joke about cold",))
    assert fuzzy.needs_judge
    for reply, found in [("correct", JUDGED), ("Incorrect", NO), ("partially correct", NO)]:
        assert verdict(fuzzy, answer="It jokes.", judge=judge(reply)) == found
    assert verdict(fuzzy, answer="It jokes.") == NO


@pytest.mark.parametrize(
    ("url", "urls", "is_part", "is_met"),
    [
        ("http://localhost:9/a/", ("http://127.0.0.1:9/a",), False, True),
        ("http://127.0.0.1:9/a?b", ("http://127.0.0.1:9/a",), False, False),
        ("http://127.0.0.1:9/a?b", ("x", "http://localhost:9/a"), True, True),
        ("http://127.0.0.1:9/", ("http://127.0.0.1:9/a",), True, False),
    ],
)
def test_addresses(url: str, urls: tuple[str, ...], is_part: bool, is_met: bool):
    assert verdict(UrlMatch(urls, is_part=is_part), url=url) == Verdict.ruled(is_met)


LAST, ABSENT = Where("last"), PageError("there is no such element")


@pytest.mark.parametrize(
    ("locator", "found", "rules", "is_met"),
    [
        ("", "", {"must_include": ("All of it",)}, True),
        ("document.title", "A red mug", {"must_include": ("red",)}, True),
        ("document.title", 3, {"required_values": ("== 3",)}, True),
        ("document.title", ABSENT, {"must_include": ("red",)}, False),
        ("document.title", ABSENT, {"must_exclude": ("red",)}, True),
        ("lambda:() => 1", ABSENT, {"must_exclude": ("red",)}, False),  # finding nothing is failing
        ("lambda:() => 1", None, {"must_exclude": ("red",)}, False),
        ("lambda:() => 1", 2, {"exact_match": ("2",)}, True),
        (Call("get_query_text", (".a",)), "red", {"exact_match": ("red",)}, True),
        (Call("get_query_text_lowercase", (".a",)), "RED", {"exact_match": ("red",)}, True),
    ],
)
def test_what_is_found_on_a_page(
    locator: str | Call, found: Any, rules: dict[str, tuple[str, ...]], is_met: bool
):
    assert verdict(ProgramHtml(LAST, locator, Required(rules)), found=found) == Verdict.ruled(
        is_met
    )


def test_a_page_is_the_last_one_an_address_or_what_a_function_names():
    episode = TellEpisode(TellTab())
    ending = Ending("Do it.", "", "http://forum/f/aww/17/a-bear/-/comment/9", episode)
    post = Call("reddit_get_post_url", ("__last_url__",))
    for where in (LAST, Where("http://shop/cart"), Where(post)):
        where.tab(ending)
    assert episode.opened == ["http://shop/cart", "http://forum/f/aww/17/"]


def png(colour: str, size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").rotate(
        90 if colour == "other" else 0
    ).save(file, "png")
    return file.getvalue()


def test_pictures_of_a_page(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png("one", (48, 48)))
    like = PageImages(LAST, ".photo", pictures=(str(tmp_path / "a.png"), "http://shop/b.png"))
    one, other = {"http://shop/one": png("one")}, {"http://shop/one": png("other")}
    wanted = {"http://shop/b.png": png("one")}
    assert not like.needs_judge
    assert verdict(like, found=["/one"], files=one | wanted) == YES
    assert verdict(like, found=["/one", "/absent"], files=other | wanted) == NO
    assert verdict(like, found=[], files=wanted) == NO
    assert verdict(like, found=["/one"], files=wanted | {"http://shop/one": b"<html>"}) == NO

    bear = PageImages(LAST, "", questions=(("A bear?", "yes"),))
    assert bear.needs_judge
    for reply, found in [("Yes.", JUDGED), ("no", NO), ("yesterday", NO)]:
        assert verdict(bear, found=["/one"], files=one, judge=judge(reply)) == found
    assert verdict(bear, found=["/one"], files=one) == NO
