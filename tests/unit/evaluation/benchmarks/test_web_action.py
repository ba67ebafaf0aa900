"""Web action rows, and the steps of ICAL's trajectories."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import answer_turn, rollout
from tests.unit.evaluation.benchmarks.conftest import Write
from vigorl.core.errors import ConfigError, DataError
from vigorl.evaluation.benchmarks.web_action import IcalSteps, WebActions

PROMPT = (
    "OBJECTIVE: Buy it.\n\nOBSERVATION:\n [3] [INPUT] []\n\n"
    "PREVIOUS ACTIONS: \n1. click  [A] [Cart]"
)


def test_typed_text_with_blanks_counts_and_each_part_is_told(
    write: Write, picture: Callable[..., str]
) -> None:
    picture("web_action/images/cars_1/0.png")
    rows = [
        {
            "problem": "<image>OBJECTIVE: Find it.",
            "answer": "type [2] [blue kayak]",
            "images": ["web_action/images/cars_1/0.png"],
        }
    ]
    bench = WebActions(
        name="web", download="", root=str(write("rows.jsonl", rows)), file="rows.jsonl"
    )
    (task,) = bench.tasks()
    assert (task.category, task.cluster) == ("type", "cars_1")
    assert task.is_right("type [2] [Blue  kayak] [1]")  # whether enter follows is no part of it
    halves = {
        "type [2] [kayak]": (1, 1, 0),
        "type [3] [blue kayak]": (1, 0, 1),
        "click [2]": (0, 0, 0),
    }
    for answer, parts in halves.items():
        assert not task.is_right(answer)
        found = bench.extras(rollout(answer_turn(answer), task=task))
        assert tuple(found.values()) == parts


@pytest.fixture
def download(tmp_path: Path, picture: Callable[..., str]) -> Callable[..., Path]:
    """Writes examples (action, rating) as ICAL's repository holds them."""

    def write(*steps: tuple[str, float], **fields: Any) -> Path:
        examples = []
        for number, (action, rating) in enumerate(steps):
            name = f"./learned_examples/merged/images/reddit_28/{number}.png"
            picture(f"VisualWebArena/{name}")
            plan = (
                f"Plan: ...\n\nAction: In summary, the next action I will perform is ```{action}```"
            )
            examples.append([PROMPT, plan, name, ["Check the cart."], rating])
        path = tmp_path / "VisualWebArena/learned_examples/merged/planning_examples.json"
        path.write_text(json.dumps({"examples": examples} | fields))
        return tmp_path

    return write


def ical(root: Path, **fields: Any) -> IcalSteps:
    return IcalSteps(
        name="ical", download="", root=str(root), file="**/planning_examples.json", **fields
    )


def test_only_steps_that_ical_rates_right_unless_told(
    download: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = download(("click [5]", 1.0), ("hover [2]", 0.0))
    with caplog.at_level(logging.WARNING):
        (task,) = ical(root).tasks()
    assert "1 steps are rated 0.0 by ICAL, and left out" in caplog.text
    assert (task.id, task.answer, task.category) == ("reddit_28:0", "click [5]", "click")
    assert task.tags["vwa_task"] == task.cluster == "reddit_28"  # it IS a task of the test
    assert task.question == "OBJECTIVE: Buy it.\n\nPREVIOUS ACTIONS: \n1. click  [A] [Cart]"
    assert [one.tags["rated"] for one in ical(root, only_right_steps=False).tasks()] == ["1", "0"]


def test_what_is_known_and_seen_as_text_can_be_added(download: Callable[..., Path]) -> None:
    root = download(("click [5]", 1.0))
    (task,) = ical(root, with_observation=True, with_abstractions=True).tasks()
    assert "[3] [INPUT] []" in task.question
    assert task.question.endswith("KNOWN:\n- Check the cart.")


def test_an_action_that_the_file_has_cut_off_ends_there(
    download: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (task,) = ical(download(("type [11] [In a breathtaking moment,", 1.0))).tasks()
    assert task.answer == "type [11] [In a breathtaking moment,]"
    assert "1 actions are cut off" in caplog.text


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (("click [5]``` or ```click [6]", 1.0), "one ```action```, it holds 2"),
        (("look around", 1.0), "must be an action such as"),
        (("click [5]", 0.5), "an example must be"),
    ],
)
def test_bad_steps_are_named(
    download: Callable[..., Path], step: tuple[str, float], message: str
) -> None:
    with pytest.raises(DataError, match=f"item 2: .*{message}"):
        ical(download(("click [5]", 1.0), step)).tasks()


def test_a_file_without_its_screenshots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planning_examples.json").write_text('{"examples": []}')
    with pytest.raises(ConfigError, match="no folder above it has learned_examples"):
        ical(tmp_path).tasks()
