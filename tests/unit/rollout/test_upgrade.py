"""A line that vigorl 0.1 (commit 47450f8) has recorded of grpo_vstar at the tiny scale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, Region, TextFrame
from vigorl.core.rollout import StopReason
from vigorl.rollout.recorder import read_rollouts, rollout_from_json, rollout_to_json

FORMAT_1 = Path(__file__).parent / "data" / "format_1.jsonl"


def test_a_rollout_of_format_1_is_read_as_one_of_today() -> None:
    (found,) = read_rollouts(FORMAT_1)
    rollout = found.scored.rollout
    picture = FileImage("outputs/made_world/debug_0/images/task-00000.png")
    whole = ImageView(picture, Size(448, 448), Size(112, 112), None, TextFrame.PIXELS)
    box = Box(156, 4, 268, 116)
    first, second, last = rollout.turns
    assert rollout.prompt_views == (whole,)
    assert first.views == (ImageView(picture, whole.original, whole.size, box),)
    assert first.focus == Region(Point(212.0, 60.0), box, 0)
    assert second.focus == Region(Point(216.0, 52.0), Box(160, 0, 272, 112), 0)
    assert (last.views, last.focus, rollout.stop_reason) == ((), None, StopReason.ANSWERED)
    assert "156x4x268x116" in first.views[0].key  # corners are whole, as they were written


def test_it_is_written_in_todays_format() -> None:
    (found,) = read_rollouts(FORMAT_1)
    line = rollout_to_json(found.scored, phase=found.phase, run_seed=found.run_seed)
    assert line.startswith('{"format":5,')
    assert rollout_from_json(line) == found


def test_a_task_of_format_2_has_neither_cluster_nor_tags() -> None:
    (found,) = read_rollouts(FORMAT_1)
    plain = json.loads(rollout_to_json(found.scored, phase=found.phase, run_seed=found.run_seed))
    task = plain["scored"]["rollout"]["task"]
    assert (task.pop("cluster"), task.pop("tags")) == ("", {})
    assert rollout_from_json(json.dumps(plain | {"format": 2})) == found
    with pytest.raises(DataError, match=r"task\.cluster: Field required"):
        rollout_from_json(json.dumps(plain))


def test_the_turns_of_format_4_have_one_policy() -> None:
    (found,) = read_rollouts(FORMAT_1)
    plain = json.loads(rollout_to_json(found.scored, phase=found.phase, run_seed=found.run_seed))
    assert plain["scored"]["rollout"].pop("turn_versions") == []
    assert rollout_from_json(json.dumps(plain | {"format": 4})) == found
    with pytest.raises(DataError, match="turn_versions: Field required"):
        rollout_from_json(json.dumps(plain))


def test_a_reward_of_format_3_has_no_weights() -> None:
    (found,) = read_rollouts(FORMAT_1)
    plain = json.loads(rollout_to_json(found.scored, phase=found.phase, run_seed=found.run_seed))
    reward = plain["scored"]["reward"]
    assert [reward.pop(key) for key in ("weights", "turns", "missing")] == [{}, [], []]
    assert rollout_from_json(json.dumps(plain | {"format": 3})) == found
    with pytest.raises(DataError, match=r"reward\.weights: Field required"):
        rollout_from_json(json.dumps(plain))


def test_half_a_line_of_format_1_is_refused() -> None:
    plain = json.loads(FORMAT_1.read_text())
    del plain["scored"]["rollout"]["turns"][0]["view"]
    with pytest.raises(DataError, match=r"old\.jsonl:1: .*not a line of format 1"):
        rollout_from_json(json.dumps(plain), path="old.jsonl", line=1)
