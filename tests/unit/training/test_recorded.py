"""Which recorded answers are learned from, and what records say of prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.unit.training.test_pairs import answered
from vigorl.core.errors import ConfigError
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.training.recorded import OwnAnswers, recorded_rates, sample_of

LONG, WRONG, AWAY, SHORT = GROUP = [
    answered("red", num_tokens=5),
    answered("blue", num_tokens=1),
    answered("red", hits=False, num_tokens=1),
    answered("red", num_tokens=2),
]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [AWAY]),
        ({"per_prompt": 2}, [AWAY, SHORT]),
        ({"right_hits": 1.0, "per_prompt": 9}, [SHORT, LONG]),
        ({"solved_to": 0.7}, []),
        ({"solved_from": 0.8}, []),
        ({"solved_from": 0.75, "solved_to": 0.75}, [AWAY]),
    ],
)
def test_the_shortest_right_answers_are_kept(settings: dict[str, Any], kept: list[Any]) -> None:
    assert OwnAnswers(files="x", **settings).of_group(GROUP) == kept


def test_a_record_is_traces_and_solve_rates(tmp_path: Path) -> None:
    folder = tmp_path / "lr=[0.1], why?"
    folder.mkdir()
    path = folder / "train_phase_0000.jsonl"
    other = answered("red", hits=False)
    other = replace(other, task=replace(other.task, id="other"), group="other")
    with RolloutRecorder(path, run_seed=0) as recorder:
        for one in (*GROUP, other):
            recorder.write(builders.scored(one), phase="train/0")
    files = str(folder / "train_phase_*.jsonl")
    assert OwnAnswers(files=files).read() == ([sample_of(other)], [sample_of(AWAY)])  # held out
    rates = recorded_rates(files, [LONG.task.id, "unknown"], key="sampler.rollouts")
    assert rates == {LONG.task.id: 0.75}
    with pytest.raises(ConfigError, match=r"sampler\.rollouts=.* none of its 2 prompts is one of"):
        recorded_rates(files, ["unknown"], key="sampler.rollouts")
    with pytest.raises(ConfigError, match=r"traces\.own\.files=.* of 2 prompts none has an answer"):
        OwnAnswers(files=files, right_hits=1.0, solved_from=0.9).read()
    with pytest.raises(ConfigError, match=r"traces\.own\.files='nowhere': there is no such file"):
        OwnAnswers(files="nowhere").read()
