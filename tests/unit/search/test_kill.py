"""kill -9 at a random moment, again and again, until a search is through."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import TOOL_NAME
from tests.unit.rollout.fake_judge import FakeJudge
from tests.unit.rollout.world import World
from tests.unit.search.test_forest import SETTINGS, guess, right_half, tasks
from vigorl.core.protocols import Completion
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.search.forest import grow_forest
from vigorl.search.point_check import PointCheck
from vigorl.search.record import TreeRecorder

NUM_TASKS = 12


class KillingEngine(ScriptedEngine):
    """Kills its process (kill -9) at a poll; 0: never."""

    kill_at = 0

    def poll(self) -> list[Completion]:
        self.kill_at -= 1
        if self.kill_at == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().poll()


def search(world: World, path: Path, has_judge: bool, kill_at: int = 0) -> None:
    """With a judge, each second task is one without boxes."""
    engine = KillingEngine(guess, world.codec, delay=lambda request: request.seed % 3)
    engine.kill_at = kill_at
    asked, check = tasks(world, NUM_TASKS), None
    if has_judge:
        asked[::2] = [replace(task, targets=()) for task in asked[::2]]
        check = PointCheck(FakeJudge(right_half, num_threads=4), tools={TOOL_NAME: world.zoom()})
    with TreeRecorder(path) as recorder:
        todo = [task for task in asked if task.id not in recorder.done]
        environment = world.environment()
        for tree in grow_forest(
            engine, environment, todo, SETTINGS, run_seed=0, max_in_flight=4, check=check
        ):  # fmt: skip
            recorder.write(tree)


@pytest.mark.parametrize(
    ("has_judge", "num_searches"), [pytest.param(False, 20, marks=pytest.mark.long), (True, 6)]
)
def test_nothing_is_lost_doubled_or_searched_otherwise(
    world: World, tmp_path: Path, has_judge: bool, num_searches: int
) -> None:
    whole = tmp_path / "whole" / "trees.jsonl"
    search(world, whole, has_judge)
    expected = sorted(whole.read_bytes().splitlines())
    assert len(expected) == NUM_TASKS
    fork, rng, num_kills = multiprocessing.get_context("fork"), random.Random(0), 0
    for number in range(num_searches):
        path = tmp_path / f"killed_{number}" / "trees.jsonl"
        kill_at = rng.randrange(1, 10)  # less than a whole search has polls
        while True:
            process = fork.Process(target=search, args=(world, path, has_judge, kill_at))
            process.start()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            num_kills += 1
            if path.exists() and rng.random() < 0.3:
                with path.open("ab") as file:
                    file.write(b'{"id": "torn')  # what a kill inside of a write leaves
            kill_at = rng.randrange(1, 100)
        assert sorted(path.read_bytes().splitlines()) == expected
    assert num_kills >= num_searches
