from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.core.geometry import Box
from vigorl.core.protocols import GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.core.trace import parse_turn, render_answer_turn
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.search.forest import Budget, ForestStats, grow_forest
from vigorl.search.mcts import SearchSettings
from vigorl.search.record import TreeRecorder

SETTINGS = SearchSettings(num_simulations=4, num_children=2)


def guess(request: GenerationRequest) -> str:
    """A policy with no idea: looks about, and answers red or blue, by its noise."""
    rng = random.Random(request.seed)
    if rng.random() < 0.6:
        return builders.call_text(rng.randrange(20, 100), rng.randrange(20, 100))
    return render_answer_turn("It may be.", rng.choice(["red", "blue"]))


def engine(world: World, script: Callable[[GenerationRequest], str] = guess, **odd: Any):
    return ScriptedEngine(script, world.codec, **odd)


def tasks(world: World, count: int = 5) -> list[TaskRecord]:
    return [world.task(f"disc {i}") for i in range(count)]


def grow(world: World, *, script: Any = guess, **given: Any) -> list[SearchTreeRecord]:
    given = {"run_seed": 0} | given
    odd = given.pop("odd", {})
    chosen = given.pop("tasks", None) or tasks(world)
    environment = given.pop("environment", None) or world.environment()
    settings = given.pop("settings", SETTINGS)
    return list(grow_forest(engine(world, script, **odd), environment, chosen, settings, **given))


def lines(trees: list[SearchTreeRecord], folder: Path) -> set[str]:
    with TreeRecorder(folder / "trees.jsonl") as recorder:
        for tree in trees:
            recorder.write(tree)
    return set((folder / "trees.jsonl").read_text().splitlines())


def test_trees_hold_turns_of_the_environment(world: World) -> None:
    for tree in grow(world):
        assert tree.root.text == "The colour of " + tree.id + "?"
        assert tree.frame is not None
        assert tree.root.num_visits == sum(len(node.rollouts) for node in tree.root.walk())
        for node in list(tree.root.walk())[1:]:
            parsed = parse_turn(node.text)
            assert parsed.problem is None
            depth_is_reached = node.is_terminal and parsed.answer is None
            assert node.is_terminal == (parsed.answer is not None or depth_is_reached)
            assert not depth_is_reached or len(node.used_points) == 4
            for rollout in node.rollouts:
                *looks, last = [parse_turn(text) for text in rollout.texts] or [parsed]
                assert all(look.tool_call for look in looks)
                assert last.answer == rollout.answer
                assert rollout.reward == float(rollout.answer == "red")


def test_trees_do_not_depend_on_what_else_is_in_flight(world: World, tmp_path: Path) -> None:
    expected = lines(grow(world, max_in_flight=1), tmp_path / "one")
    late = {"delay": lambda request: request.seed % 5, "shuffle_seed": 3}
    assert lines(grow(world, odd=late), tmp_path / "all") == expected
    assert lines(grow(world, run_seed=1), tmp_path / "other") != expected


def test_everything_that_can_run_is_in_flight(world: World) -> None:
    seen: list[int] = []
    grow(world, on_progress=lambda stats: seen.append(stats.max_in_flight))
    assert max(seen) >= 5 * SETTINGS.num_children


def test_a_search_that_was_cut_goes_on_with_what_is_missing(world: World, tmp_path: Path) -> None:
    expected = lines(grow(world), tmp_path / "whole")
    path = tmp_path / "cut" / "trees.jsonl"
    with TreeRecorder(path) as recorder:
        for tree in grow(world)[:2]:
            recorder.write(tree)
    with path.open("a") as file:
        file.write('{"id": "half a li')  # as a kill in the middle of a line leaves it
    with TreeRecorder(path) as recorder:
        todo = [task for task in tasks(world) if task.id not in recorder.done]
        assert len(todo) == 3
        for tree in grow(world, tasks=todo):
            recorder.write(tree)
        with pytest.raises(DataError, match="is there already"):
            recorder.write(tree)
    assert set(path.read_text().splitlines()) == expected


def test_a_tree_comes_back_from_its_line(world: World, tmp_path: Path) -> None:
    near = builders.task(id="t", images=(world.picture,), targets=(Box(0, 0, 448, 448),))
    trees = grow(world, tasks=[near])
    lines(trees, tmp_path)
    (again,) = read_mcts_jsonl(tmp_path / "trees.jsonl")
    assert again.root == trees[0].root
    assert (again.frame, again.solved_at) == (trees[0].frame, trees[0].solved_at)
    assert Path(again.image).resolve() == Path(trees[0].image).resolve()
    row = json.loads((tmp_path / "trees.jsonl").read_text())
    assert {"thought_text", "is_terminal", "value", "visit_count", "rollouts", "children"} <= set(
        row["tree"]
    )


def test_a_trees_line_tells_its_whole_task(world: World, tmp_path: Path) -> None:
    asked = builders.task(
        id="two", question="<image> or <image>?", images=(world.picture,) * 2, category="colour"
    )
    lines(grow(world, tasks=[asked]), tmp_path)
    (tree,) = read_mcts_jsonl(tmp_path / "trees.jsonl")
    told = tree_task(tree)
    assert [Path(path).resolve() for path in told.images] == [Path(world.picture).resolve()] * 2
    assert replace(told, images=asked.images, source="") == asked


def test_a_file_is_gone_on_with_by_its_ids_alone(tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    path.write_text('{"id": "a", "tree": {}}\n{"id": 7, "tree": {"children": "never read"}}\n')
    with TreeRecorder(path) as recorder:
        assert recorder.done == {"a", "7"}
    for line, message in (
        ('{"tree": {}}', 'the key "id" is missing'),
        ('{"id": "b"}', '"tree" must be an object'),
        ("[1]", "must be a JSON object"),
        ("no", "is not JSON"),
    ):
        path.write_text('{"id": "a", "tree": {}}\n' + line + "\n")
        with pytest.raises(DataError, match=rf"trees\.jsonl:2: .*{message}"):
            TreeRecorder(path)


def test_looks_are_checked_against_the_targets(world: World) -> None:
    def hits(*targets: Box, **given: Any) -> set[bool | None]:
        near = [
            builders.task(id=f"t{i}", images=(world.picture,), targets=targets) for i in range(4)
        ]
        nodes = [node for tree in grow(world, tasks=near, **given) for node in tree.root.walk()]
        return {node.is_hit for node in nodes if "tool_call" in node.text}

    assert hits(Box(0, 0, 448, 448)) == {True, False}  # windows that hold its middle or do not
    assert hits(Box(440, 440, 448, 448)) == {False}
    assert hits() == {None}
    assert hits(check=lambda task, text, points: points[0].x > 60) == {True, False}


def test_what_cannot_be_carried_out_is_asked_for_again(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        rng = random.Random(request.seed)
        off = builders.call_text(5000 + rng.randrange(9), 20)
        return rng.choice([off, "no grammar at all", guess(request), guess(request)])

    stats: list[ForestStats] = []
    for tree in grow(world, script=script, on_progress=stats.append):
        for node in list(tree.root.walk())[1:]:
            assert "5000" not in node.text
            assert "no grammar" not in node.text
    assert stats[-1].num_repeats > 0


def test_thoughts_one_by_one_without_a_tool(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        rng = random.Random(request.seed)
        place = f"({rng.randrange(100)}, {rng.randrange(100)})"
        if rng.random() < 0.5:
            return f"<think> There is something at {place}. </think>"
        return render_answer_turn("So be it.", rng.choice(["red", "blue"]))

    environment = world.environment(tools=[], step_reply="Go on.", max_turns=5)
    trees = grow(world, script=script, environment=environment)
    thoughts = [node for tree in trees for node in tree.root.walk() if "something" in node.text]
    assert thoughts
    assert all(len(node.used_points) >= 1 for node in thoughts)
    assert {tree.is_solved for tree in trees} <= {True, False}
    assert max(len(r.texts) for t in trees for n in t.root.walk() for r in n.rollouts) > 1


@pytest.mark.parametrize(
    "budget", [{"max_tokens": 300}, {"max_requests": 40}, {"max_seconds": 1e-6}]
)
def test_a_budget_ends_the_search_with_whole_trees(
    world: World, tmp_path: Path, budget: dict[str, Any]
) -> None:
    stats: list[ForestStats] = []
    teacher = engine(world)
    found = list(
        grow_forest(
            teacher, world.environment(), tasks(world, 30), SETTINGS, run_seed=0,
            max_in_flight=8, budget=Budget(**budget), on_progress=stats.append,
        )
    )  # fmt: skip
    assert stats[-1].is_cut
    assert len(found) < 30
    assert teacher.num_in_flight == 0
    assert lines(found, tmp_path / "cut") <= lines(
        grow(world, tasks=tasks(world, 30)), tmp_path / "whole"
    )


def test_settings_that_cannot_work_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="temperature=0"):
        grow(world, environment=world.environment(temperature=0.0))
    with pytest.raises(ConfigError, match=r"budget\.max_tokens"):
        Budget(max_tokens=0)
    with pytest.raises(EngineError, match="ids must be unique"):
        grow(world, tasks=[world.task("a"), world.task("a")])
