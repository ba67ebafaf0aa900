"""The page of episodes: steps in order, with what was seen, said and asked."""

from __future__ import annotations

from dataclasses import replace

from tests import builders
from tests.unit.pages.conftest import at
from tests.unit.pages.outline import Outline
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.episodes import render_episode_page


def step(picture: str, index: int, said: str, *, right: bool) -> ScoredRollout:
    question = f"<image>OBJECTIVE: Buy <b>it</b>.\n\nPREVIOUS ACTIONS: \n{index}. go_back"
    task = builders.task(question=question, options=(), answer=said if right else "other")
    turn = builders.answer_turn(said) if said else builders.turn("no tags")
    rollout = builders.rollout(turn, task=task, group="shop/3/0", index=index)
    return ScoredRollout(at(picture, rollout), RewardBreakdown(0.5))


def test_every_step_is_shown_in_order(store: ImageStore, picture: str):
    done = [step(picture, 0, "click [1]", right=True), step(picture, 1, "stop", right=True)]
    lost = [step(picture, 0, "", right=False)]
    page = render_episode_page(
        [done, lost], images=store, title="shop", endings=["stopped", "unreadable"]
    )
    outline = Outline(page)
    text = outline.text
    assert (text.count("✓ done"), text.count("✗ not done")) == (2, 2)  # in the list and above
    assert text.index("click [1]") < text.index("stop", text.index("click [1]"))
    assert "OBJECTIVE: Buy <b>it</b>." in text  # escaped
    assert "1. go_back" in text
    assert "⚠ the turn must open with a <think> block" in text
    assert "stopped · shop/3/0" in text
    assert outline.tags["img"] == 3
    assert outline.tags["section"] == 2


def test_pictures_of_the_task_stand_under_the_screen(store: ImageStore, picture: str):
    one = step(picture, 0, "stop", right=True)
    views = one.rollout.prompt_views * 2
    shown = replace(one, rollout=replace(one.rollout, prompt_views=views))
    page = render_episode_page([[shown]], images=store, title="shop", endings=[""])
    assert Outline(page).tags["img"] == 2
    assert 'alt="picture of the task"' in page
