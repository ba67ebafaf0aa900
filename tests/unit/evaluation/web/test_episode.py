"""An episode's steps and end, with a session that is told instead of a browser."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from tests import builders
from tests.unit.rollout.world import World
from vigorl.core.geometry import Box, Point
from vigorl.core.trace import render_answer_turn
from vigorl.evaluation.web.checks import Check, Required, StringMatch, UrlMatch
from vigorl.evaluation.web.marks import Element
from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.score import EpisodeScore
from vigorl.evaluation.web.settings import EpisodeLimits
from vigorl.evaluation.web.tasks import WebTask
from vigorl.rollout.collector import collect
from vigorl.rollout.engines.scripted import ScriptedEngine

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
from vigorl.evaluation.web.browser import Screen, Session
from vigorl.evaluation.web.episode import WebEpisode


class TellSession:
    """Shows one page until it crashes."""

    url = "http://shop/cart"

    def __init__(self, *, num_looks: int) -> None:
        self.num_looks, self.done = num_looks, list[Any]()

    def look(self) -> Screen:
        if self.num_looks == 0:
            raise PageError("the page has crashed")
        self.num_looks -= 1
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (self.num_looks, 0, 0)).save(file, "png")
        link = Element("A", "Cart", Box(0, 0, 20, 20), 1, Point(5, 5))
        return Screen(file.getvalue(), (link,), self.url)

    def act(self, action: Any, screen: Screen) -> str:
        self.done.append(action.verb)
        return "" if screen.element(action.number) else "it is not there"


def play(
    world: World, folder: Path, *actions: str, looks: int = 9, check: Check | None = None
) -> tuple[list[str], EpisodeScore]:
    """What was asked last, and what came of it."""
    record = builders.task(question="Buy it.", images=(), options=(), scorer=EpisodeScore())
    checks = (check or UrlMatch(("http://shop/cart",)),)
    task = WebTask(record=record, start_urls=(), sites=(), checks=checks, view={})
    episode = WebEpisode(
        task, cast(Session, TellSession(num_looks=looks)),
        world.environment(tools=[], max_turns=1, temperature=0.0),
        limits=EpisodeLimits(max_steps=4), group="web/0", seed=0, screens=folder,
    )  # fmt: skip
    said = iter(actions)
    engine = ScriptedEngine(lambda _: render_answer_turn("At (5, 5).", next(said)), world.codec)

    def then(rollout: Any) -> list[Any]:
        following = episode.after(rollout)
        return [] if following is None else [following]

    collect(engine, [episode.start()], phase="web", then=then)
    steps = episode.finish(shop="", judge=None)
    score = steps[-1].task.scorer
    assert isinstance(score, EpisodeScore)
    assert all(step.task.scorer == score for step in steps)
    return steps[-1].task.question.partition("ACTIONS: \n")[2].split("\n"), score


def test_a_page_that_crashes_ends_the_episode_and_is_named(world: World, tmp_path: Path):
    _, score = play(world, tmp_path, "click [1]", "click [1]", looks=2)
    assert (score.end, score.fault, score.num_steps) == ("fault", "the page has crashed", 2)
    assert score.success == 1.0  # the last address is there all the same


def test_an_answer_is_what_was_stopped_with(world: World, tmp_path: Path):
    five = StringMatch(Required({"must_include": ("5",)}))
    told, score = play(world, tmp_path, "click [1]", "stop [5 dollars]", check=five)
    assert told[0] == "1. click [A] [Cart]"
    assert (score.end, score.success) == ("stopped", 1.0)
    _, score = play(
        world, tmp_path, "click [1]", "click [1]", "hover [1]", "type [1] [5]", check=five
    )
    assert (score.end, score.success) == ("steps", 0.0)


def test_what_is_impossible_or_unreadable_is_counted(world: World, tmp_path: Path):
    told, score = play(world, tmp_path, "click [7]", "dance", "click [1]", "stop")
    assert told[0] == "1. click [7] (not possible: it is not there)"
    assert told[1].startswith("2. (an action that could not be read")
    assert (score.num_impossible, score.num_unreadable, score.num_steps) == (1, 1, 4)
