"""What a step asks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import builders
from vigorl.evaluation.web.questions import is_step_of, step_question

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


def test_a_step_is_of_the_task_as_it_is_now():
    task = builders.task(question="Buy it.", images=("bowl.png",), answer="{}")
    question = step_question("Buy it.", num_pictures=1, previous=["go_back"])
    step = replace(task, question=question, images=("screen.png", "bowl.png"))
    assert is_step_of(task, step)
    assert not is_step_of(replace(task, question="Buy"), step)
    assert not is_step_of(replace(task, answer="{} "), step)
    assert not is_step_of(replace(task, images=()), step)
