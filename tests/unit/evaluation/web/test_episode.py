"""What a step asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.evaluation.web.episode import kept, step_question
from vigorl.evaluation.web.score import EpisodeScore

SHARED = Path(__file__).resolve().parents[5] / "shared/data/benchmarks/vigorl_web_action"


def test_a_step_is_asked_as_vigorls_rows_are():
    assert step_question("Find a kayak.", num_pictures=0, previous=[]) == (
        "<image>OBJECTIVE: Find a kayak.\n\nPREVIOUS ACTIONS: \nNone\n\nIMAGE:\n"
    )
    assert step_question(
        "Buy <image>.",
        num_pictures=1,
        previous=["go_back", "click [A] [<image>]"],
        listing="[1] [A] []",
    ) == (
        "<image>OBJECTIVE: Buy [image].\nINPUT IMAGE 1: <image>\n\nOBSERVATION:\n[1] [A] []\n\n"
        "PREVIOUS ACTIONS: \n1. go_back\n2. click [A] [[image]]\n\nIMAGE:\n"
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="no sample data beside this checkout")
def test_the_sample_rows_are_asked_alike():
    lines = (SHARED / "web_action_rl_made.jsonl").read_text().splitlines()
    problems = [json.loads(line)["problem"] for line in lines]
    assert problems[0] == step_question(
        "Find me the cheapest blue kayak on this site.", num_pictures=0, previous=[]
    )
    assert problems[1] == step_question(
        "Open the first listing.", num_pictures=0, previous=["type [INPUT] [] [blue kayak]"]
    )


def test_a_screenshot_is_kept_once(tmp_path: Path):
    first, again, other = (kept(one, tmp_path / "a") for one in (b"one", b"one", b"other"))
    assert first == again != other
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_every_step_is_as_right_as_its_episode():
    score = EpisodeScore(success=1.0, by_rules=0.0, num_steps=3, end="stopped")
    view = ImageView(FileImage("a.png"), Size(8, 8), Size(8, 8))
    assert score.has_form("click [3]", view=view)
    assert not score.has_form("the third one", view=view)
    assert score.numbers["by rules"] == 0.0
    assert (score.numbers["steps"], score.numbers["stopped"]) == (3.0, 1.0)
