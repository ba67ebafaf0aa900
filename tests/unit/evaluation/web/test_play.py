"""Which episodes of a log are whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import builders
from vigorl.core.rollout import Rollout
from vigorl.evaluation.web.score import EpisodeScore

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
from vigorl.evaluation.web.play import whole_episodes


def steps(group: str, num: int, **fields: float) -> list[Rollout]:
    score = EpisodeScore(num_steps=num, **fields)
    turn, task = builders.answer_turn("stop"), builders.task(scorer=score)
    return [builders.rollout(turn, task=task, group=group, index=i) for i in range(num)]


def test_an_episode_counts_only_whole():
    torn, played_again = steps("torn", 3)[:2], steps("again", 3)
    shorter = steps("again", 2, success=1.0)
    kept = [*steps("whole", 2), *torn, *played_again, *shorter, replace(torn[0], group="odd")]
    found = {(one.group, one.index): one for one in kept}  # later lines win
    episodes = whole_episodes(found)
    assert {name: len(one) for name, one in episodes.items()} == {"whole": 2, "again": 2}
    assert episodes["again"] == shorter
