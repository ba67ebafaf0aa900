from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.unit.rollout.fake_judge import FakeJudge
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, DataError, EngineError, RequestError
from vigorl.core.geometry import Box
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import PointInBox
from vigorl.core.search_metrics import numbered_nodes
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchTreeRecord
from vigorl.core.trace import ToolCall, parse_turn, render_answer_turn, render_tool_turn
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.judge import JudgePrompt
from vigorl.rollout.tools.look_closer import LookCloser
from vigorl.search.chains import TreeForm, tree_form
from vigorl.search.forest import Budget, ForestStats, _thought, grow_forest
from vigorl.search.mcts import SearchSettings
from vigorl.search.point_check import PointCheck
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


class AskedAhead(LookCloser):
    """A look that writes down what it was asked, and when it was called."""

    def ask_ahead(self, arguments: Any, *, scene: Any) -> None:
        asked.append("ask")

    def call(self, arguments: Any, *, scene: Any) -> Any:
        asked.append("call")
        return super().call(arguments, scene=scene)


asked: list[str] = []


def test_services_are_asked_about_all_thoughts_that_came_back_together(world: World) -> None:
    asked.clear()
    call = ToolCall("look_closer", {"picture": 0, "bbox": [10, 10, 60, 60]})
    environment = world.environment(tools=[AskedAhead(view_px=56)])
    grow(world, script=lambda _: render_tool_turn("Look (50, 20).", call), environment=environment)
    together = 5 * SETTINGS.num_children
    assert asked[: 2 * together] == ["ask"] * together + ["call"] * together


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
    assert again.checked_by is CheckedBy.BOXES
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


def test_the_box_of_an_answer_is_a_target(world: World) -> None:
    points = [
        builders.task(
            id=f"t{i}", images=(world.picture,), targets=(), scorer=PointInBox(Box(0, 0, 448, 448)),
            answer="(50, 20)",
        )
        for i in range(4)
    ]  # fmt: skip
    trees = grow(world, tasks=points)
    assert {tree.checked_by for tree in trees} == {CheckedBy.BOXES}
    nodes = [node for tree in trees for node in tree.root.walk() if "tool_call" in node.text]
    assert {node.is_hit for node in nodes} == {True, False}


# ---- a judge of points ---------------------------------------------------------------------------


def right_half(prompt: JudgePrompt) -> str:
    """Yes to looks right of the middle, after a while that is never the same."""
    time.sleep(random.random() / 200)
    match = re.search(r'"coordinate": \[(\d+), \d+\]', prompt.text)
    return f"<verdict>{'yes' if match and int(match[1]) > 60 else 'no'}</verdict>"


def without_boxes(world: World, count: int = 5) -> list[TaskRecord]:
    return [replace(task, targets=()) for task in tasks(world, count)]


def judged(
    world: World, script: Any = right_half, *, num_threads: int = 8, **given: Any
) -> list[SearchTreeRecord]:
    check = PointCheck(
        FakeJudge(script, num_threads=num_threads), tools={builders.TOOL_NAME: world.zoom()}
    )
    return grow(world, **({"tasks": without_boxes(world), "check": check} | given))


def bare(tree: SearchTreeRecord) -> SearchTreeRecord:
    """As if nobody had checked it."""

    def unchecked(node: SearchNode) -> SearchNode:
        children = tuple(unchecked(child) for child in node.children)
        return replace(node, is_hit=None, children=children)

    return replace(tree, root=unchecked(tree.root), checked_by=None)


def test_a_judge_is_asked_where_there_are_no_boxes(world: World, tmp_path: Path) -> None:
    stats: list[ForestStats] = []
    trees = judged(world, on_progress=stats.append)
    for tree in trees:
        assert tree.checked_by is CheckedBy.JUDGE
        for node in list(tree.root.walk())[1:]:
            match = re.search(r'"coordinate": \[(\d+)', node.text)
            is_grounded = match is not None and not node.is_terminal
            assert node.is_hit == (int(match[1]) > 60 if match else None) or not is_grounded
    looks = [place for tree in trees for place in numbered_nodes(tree.root) if place.points]
    assert all(place.node.is_hit is not None for place in looks)
    assert (stats[-1].num_checked, stats[-1].num_unchecked) == (len(looks), 0)
    assert stats[-1].num_trees == len(trees) == 5
    expected = lines(trees, tmp_path / "one")
    assert lines(judged(world, num_threads=1), tmp_path / "again") == expected
    assert {tree.id: bare(tree) for tree in trees} == {
        tree.id: tree for tree in grow(world, tasks=without_boxes(world))
    }  # what is searched is the same


def test_data_with_boxes_asks_no_judge(world: World) -> None:
    def refuse(prompt: JudgePrompt) -> str:
        raise AssertionError("asked")

    trees = judged(world, refuse, tasks=tasks(world))
    assert {tree.checked_by for tree in trees} == {CheckedBy.BOXES}
    mixed = [*tasks(world, 2), *[replace(world.task(f"bare {i}"), targets=()) for i in range(2)]]
    found = {tree.id: tree.checked_by for tree in judged(world, tasks=mixed)}
    assert found == {
        "disc 0": CheckedBy.BOXES, "disc 1": CheckedBy.BOXES,
        "bare 0": CheckedBy.JUDGE, "bare 1": CheckedBy.JUDGE,
    }  # fmt: skip


def test_the_search_goes_on_while_the_judge_thinks(world: World) -> None:
    """The judge says nothing before the engine has had its last request."""
    engine_is_done = threading.Event()
    alone = [ForestStats()]
    grow(world, tasks=without_boxes(world), max_in_flight=1, on_progress=alone.append)

    def slow(prompt: JudgePrompt) -> str:
        assert engine_is_done.wait(60)
        return right_half(prompt)

    def show(stats: ForestStats) -> None:
        if stats.num_requests == alone[-1].num_requests:
            engine_is_done.set()
        else:
            assert stats.num_checked == 0

    assert len(judged(world, slow, max_in_flight=1, on_progress=show)) == 5


class Refusing(ScriptedEngine):
    """Refuses every request of some tasks."""

    refused: tuple[str, ...] = ()

    def poll(self) -> list[Completion]:
        for name in list(self._in_flight):
            if name.split("/")[1] in self.refused:
                self.cancel([name])
                raise RequestError("bad picture", request_id=name)
        return super().poll()


@pytest.mark.parametrize("max_in_flight", [1, 256])
def test_a_refused_request_costs_its_tree_and_no_other(world: World, max_in_flight: int) -> None:
    teacher, stats = Refusing(guess, world.codec), list[ForestStats]()
    teacher.refused = ("disc 1", "disc 3")
    found = grow_forest(
        teacher, world.environment(), tasks(world), SETTINGS, run_seed=0,
        max_in_flight=max_in_flight, on_progress=stats.append,
    )  # fmt: skip
    by_id = {tree.id: tree for tree in found}
    assert by_id == {tree.id: tree for tree in grow(world) if tree.id not in teacher.refused}
    assert (stats[-1].num_refused, teacher.num_in_flight) == (2, 0)


@pytest.mark.parametrize("count", [3, 30])
def test_an_engine_that_refuses_everything_ends_the_search(world: World, count: int) -> None:
    teacher = Refusing(guess, world.codec)
    teacher.refused = tuple(f"disc {i}" for i in range(count))
    growing = grow_forest(teacher, world.environment(), tasks(world, count), SETTINGS, run_seed=0)
    with pytest.raises(EngineError, match="failed with 0 trees finished: bad picture"):
        list(growing)
    assert teacher.num_in_flight == 0


def test_a_budget_waits_for_verdicts(world: World, tmp_path: Path) -> None:
    is_cut = threading.Event()

    def slow(prompt: JudgePrompt) -> str:
        assert is_cut.wait(60)
        return right_half(prompt)

    seen: list[ForestStats] = []

    def show(stats: ForestStats) -> None:
        seen.append(stats)
        if stats.num_requests >= 60:
            is_cut.set()

    given = {"tasks": without_boxes(world, 30), "max_in_flight": 1}
    cut = judged(world, slow, budget=Budget(max_requests=60), on_progress=show, **given)
    assert seen[-1].is_cut
    assert 0 < len(cut) == seen[-1].num_trees < 30
    whole = lines(judged(world, **given), tmp_path / "whole")
    assert len(lines(cut, tmp_path / "cut") - whole) <= 1  # the one that was growing
    assert {tree.checked_by for tree in cut} == {CheckedBy.JUDGE}


def test_unreadable_replies_are_counted(world: World) -> None:
    stats: list[ForestStats] = []
    trees = judged(world, lambda prompt: "no idea", on_progress=stats.append)
    assert stats[-1].num_checked == 0
    assert stats[-1].num_unchecked == sum(
        bool(place.points) for tree in trees for place in numbered_nodes(tree.root)
    )
    assert {node.is_hit for tree in trees for node in tree.root.walk()} == {None}


def test_a_judge_out_of_reach_ends_the_search_with_what_it_has(world: World) -> None:
    teacher, found = engine(world), list[SearchTreeRecord]()
    replies = itertools.chain(["<verdict>yes</verdict>"] * 30, itertools.repeat(None))
    judge = FakeJudge(lambda prompt: next(replies))
    check = PointCheck(judge, tools={builders.TOOL_NAME: world.zoom()})
    growing = grow_forest(
        teacher, world.environment(), without_boxes(world, 30), SETTINGS, run_seed=0,
        max_in_flight=4, check=check,
    )  # fmt: skip
    with pytest.raises(EngineError) as caught:
        found.extend(growing)
    match = re.fullmatch(
        r"the check of points failed with (\d+) trees finished and (\d+) waiting for it: the judge "
        r"gave no reply to 16 questions one after the other: the fake judge is busy",
        str(caught.value),
    )
    assert match
    assert int(match[1]) == len(found) > 0
    assert int(match[2]) > 0
    assert teacher.num_in_flight == check.num_waiting == 0
    looks = [place for tree in found for place in numbered_nodes(tree.root) if place.points]
    assert all(place.node.is_hit for place in looks)


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
    assert {tree_form(tree) for tree in trees} == {TreeForm.THOUGHTS}
    rollouts = [one for tree in trees for node in tree.root.walk() for one in node.rollouts]
    assert {one.reward for one in rollouts if one.answer == "red"} == {1.0}
    assert {one.reward for one in rollouts if one.answer != "red"} == {0.0}
    assert max(len(r.texts) for t in trees for n in t.root.walk() for r in n.rollouts) > 1


@pytest.mark.parametrize(
    "budget", [{"max_tokens": 300}, {"max_requests": 40}, {"max_seconds": 1e-6}]
)
def test_a_budget_ends_the_search_with_what_has_grown(world: World, budget: dict[str, Any]) -> None:
    stats: list[ForestStats] = []
    teacher = engine(world)
    found = list(
        grow_forest(
            teacher, world.environment(), tasks(world, 30), SETTINGS, run_seed=0,
            max_in_flight=8, budget=Budget(**budget), on_progress=stats.append,
        )
    )  # fmt: skip
    assert stats[-1].is_cut
    assert stats[-1].num_trees == len(found) < 30
    assert teacher.num_in_flight == 0
    for tree in found:  # as far as it got: what a search of so many simulations finds
        assert tree.num_simulations
        settings = replace(SETTINGS, num_simulations=tree.num_simulations)
        assert grow(world, tasks=[world.task(tree.id)], settings=settings) == [tree]
    if "max_seconds" not in budget:
        assert any(tree.num_simulations < SETTINGS.num_simulations for tree in found)


def test_a_search_that_ends_with_its_budget_is_not_cut(world: World) -> None:
    stats: list[ForestStats] = []
    whole = grow(world, on_progress=stats.append)
    budget = Budget(max_requests=stats[-1].num_requests)
    assert grow(world, budget=budget, on_progress=stats.append) == whole
    assert not stats[-1].is_cut


def test_settings_that_cannot_work_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="temperature=0"):
        grow(world, environment=world.environment(temperature=0.0))
    with pytest.raises(ConfigError, match=r"budget\.max_tokens"):
        Budget(max_tokens=0)
    with pytest.raises(ConfigError, match="max_in_flight must be at least 1"):
        grow(world, max_in_flight=0)
    for together in (1, 256):
        with pytest.raises(EngineError, match="ids must be unique"):
            grow(world, tasks=[world.task("a"), world.task("a")], max_in_flight=together)


@pytest.mark.parametrize(("picture", "num_points", "is_hit"), [(0, 1, True), (1, 0, False)])
def test_a_thought_has_the_place_of_a_look_at_the_first_picture(
    world: World, tmp_path: Path, picture: int, num_points: int, is_hit: bool
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(Path(world.picture).read_bytes())
    task = builders.task(images=(world.picture, str(other)), question="<image><image>Which?")
    dialog = world.environment(tools=[LookCloser()]).start(task, group="g", index=0, seed=0)
    call = ToolCall("look_closer", {"picture": picture, "bbox": [40, 10, 60, 30]})
    request = dialog.next_request()
    ids = tuple(world.codec.completion_ids(render_tool_turn("Look.", call)))
    dialog.accept(Completion(request.id, ids, (), is_finished=True))
    told = _thought(dialog, dialog.turns[-1])
    assert (len(told.points), told.is_hit, told.is_readable) == (num_points, is_hit, True)
