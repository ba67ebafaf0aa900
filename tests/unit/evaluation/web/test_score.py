"""What an episode came to."""

from __future__ import annotations

from dataclasses import replace

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.evaluation.web.score import EpisodeScore


def test_every_step_is_as_right_as_its_episode():
    score = EpisodeScore(success=1.0, by_rules=0.0, num_steps=3, end="stopped")
    view = ImageView(FileImage("a.png"), Size(8, 8), Size(8, 8))
    assert score.has_form("click [3]", view=view)
    assert not score.has_form("the third one", view=view)
    assert score.numbers["by rules"] == 0.0
    assert str(score) == "stopped after 3 steps"
    lost = replace(score, end="fault", num_impossible=2, fault="it has crashed")
    assert str(lost) == "page lost after 3 steps, 2 impossible, it has crashed"
    assert (score.numbers["steps"], score.numbers["stopped"]) == (3.0, 1.0)
