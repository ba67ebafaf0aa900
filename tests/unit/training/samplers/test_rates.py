from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.builders import answer_turn, rollout, scored, task, turn
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import StopReason
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.training.samplers.rates import (
    SolveRates,
    Tally,
    rates_of,
    read_solve_rates,
    tally_rollouts,
    tally_tree,
)

RIGHT, WRONG = SearchRollout("red", 1.0, ()), SearchRollout(None, 0.0, ())


def tally(**counts: tuple[int, int]) -> Tally:
    """Of right and wrong rollouts by task id."""
    pairs = ((id, zip((True, False), pair, strict=True)) for id, pair in counts.items())
    return +Counter({(id, is_right): count for id, pair in pairs for is_right, count in pair})


def tree(*rollouts: SearchRollout, below: tuple[SearchRollout, ...] = ()) -> SearchTreeRecord:
    leaf = SearchNode("leaf", True, 0.0, 1, rollouts=below)
    root = SearchNode("root", False, 0.0, 1, rollouts=rollouts, children=(leaf,))
    return SearchTreeRecord("disc", "What?", "red", "a.png", root)


def test_a_trees_rate_is_over_all_its_rollouts() -> None:
    assert tally_tree(tree(RIGHT, WRONG, WRONG, below=(RIGHT, RIGHT))) == tally(disc=(3, 2))
    half_right = SearchRollout("r", 0.5, ())  # which is not right
    assert tally_tree(tree(half_right, RIGHT)) == tally(disc=(1, 1))
    assert tally_tree(tree()) == Counter()


def test_a_first_measurement_stands_and_later_ones_are_smoothed() -> None:
    rates = SolveRates(smoothing=0.75)
    assert rates.of("a") is None
    rates.update(tally(a=(8, 0)))
    assert rates.of("a") == 1.0
    rates.update(tally(a=(4, 4), b=(0, 8)))
    assert rates.of("a") == 0.875  # 3/4 x 1 + 1/4 x 1/2
    assert rates.of("b") == 0.0


def test_without_smoothing_the_last_group_counts() -> None:
    rates = SolveRates(smoothing=0.0)
    for num_right in (8, 4, 2):
        rates.update(tally(a=(num_right, 8 - num_right)))
    assert rates.of("a") == 1 / 4


def test_a_rate_from_before_the_run_is_an_old_one() -> None:
    rates = SolveRates(smoothing=0.5, before={"a": 0.5, "b": 0.25})
    rates.update(tally(a=(8, 0)))
    assert (rates.of("a"), rates.of("b")) == (0.75, 0.25)


def test_a_state_holds_what_was_measured_and_is_no_view() -> None:
    rates = SolveRates(smoothing=0.5, before={"a": 0.5, "b": 0.25})
    rates.update(tally(a=(8, 0)))
    state = rates.state_dict()
    rates.update(tally(a=(0, 8)))
    # what the trees say may have changed since; what was measured has not
    other = SolveRates(smoothing=0.5, before={"a": 0.0, "b": 0.0})
    other.load_state_dict(state)
    assert (other.of("a"), other.of("b")) == (0.75, 0.0)


def test_groups_are_counted_by_task() -> None:
    silent = rollout(turn("no tags"), stop_reason=StopReason.NO_ACTION)
    other = task(id="other")
    found = [
        # the reward does not say what is right
        *[scored(one, total=0.3) for one in (rollout(), rollout(answer_turn("blue")), silent)],
        scored(rollout(task=other), total=-1.0),
    ]
    assert tally_rollouts(found) == tally(disc=(1, 2), other=(1, 0))


def test_shards_add_up() -> None:
    total = tally(a=(1, 3)) + Counter() + tally(a=(3, 1), b=(0, 4))
    assert rates_of(total) == {"a": 4 / 8, "b": 0.0}


def write_trees(folder: Path, **rewards: list[float]) -> str:
    """A line per list of rewards; the name up to "__" is the task's id."""
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    node: dict[str, Any] = {
        "thought_text": "x",
        "is_terminal": False,
        "value": 0.0,
        "visit_count": 1,
    }
    lines = []
    for name, given in rewards.items():
        found = [{"final_answer": "red", "reward": reward} for reward in given]
        row = {"id": name.split("__")[0], "question": "What?", "image": "a.png"}
        lines.append(json.dumps(row | {"true_answer": "red", "tree": node | {"rollouts": found}}))
    (folder / "trees.jsonl").write_text("\n".join(lines))
    return str(folder / "trees.jsonl")


def test_rates_of_a_file_of_trees(tmp_path: Path) -> None:
    path = write_trees(tmp_path, a=[1, 0, 0, 0], b=[1], a__again=[1, 1, 1, 0], nobody=[1], empty=[])
    # (1 + 3) of (4 + 4)
    assert read_solve_rates(path, ["a", "b", "empty", "new"]) == {"a": 0.5, "b": 1.0}


def test_trees_of_no_training_task_are_an_error(tmp_path: Path) -> None:
    path = write_trees(tmp_path, a=[1], empty=[])
    with pytest.raises(ConfigError, match=r"sampler\.trees=.* none of its 2 trees .* of the 2 tra"):
        read_solve_rates(path, ["other", "empty"])
