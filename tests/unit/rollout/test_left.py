"""Rounds that end early: what is learned from, what is left, how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.rollout.world import ANSWER, OFF_PICTURE, ZOOM, World
from vigorl.core.protocols import GenerationRequest, Observation
from vigorl.core.rollout import Rollout
from vigorl.core.trace import ToolCall, render_tool_turn
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn
from vigorl.rollout.left import EarlyEnd, LeftGroup, PartialRound
from vigorl.rollout.tools.mark_points import MarkPoints
from vigorl.rollout.tools.zoom_point import ZoomPoint

THREE_TURNS = [ZOOM, OFF_PICTURE, ANSWER]


def slow(name: str) -> Any:
    """Delays of requests: the groups of a task are slow."""
    return lambda request: 10 if f"/{name}/" in request.id else 0


def new_dialogs(world: World, *names: str, phase: str = "train/0") -> list[Dialog]:
    tasks = [world.task(name) for name in names]
    return build_dialogs(world.environment(), tasks, group_size=2, phase=phase, run_seed=7)


def played(
    engine: ScriptedEngine, world: World, ends: EarlyEnd, new: list[Dialog]
) -> tuple[list[Rollout], list[LeftGroup]]:
    partial = PartialRound(ends, world.environment(), new)
    found = collect(
        engine, partial.dialogs, phase="p", on_done=partial.note, is_over=partial.is_over
    )
    assert engine.num_in_flight == 0
    return partial.split(found.unfinished, policy_version=engine.policy_version)


def test_a_slow_group_is_left_and_goes_on_as_it_would_have(world: World) -> None:
    engine = ScriptedEngine(by_turn(THREE_TURNS), world.codec, delay=slow("slow"))
    engine.publish([], version=4)
    whole = collect(engine, new_dialogs(world, "slow", "a", "b"), phase="p").rollouts
    ends = EarlyEnd(enough=2, max_rounds=2)
    learned, left = played(engine, world, ends, new_dialogs(world, "slow", "a", "b"))
    assert learned == whole[2:]  # whole groups, in order
    ((group,), num_turns) = (left, [len(one.rollout.turns) for one in left[0].members])
    assert (group.num_rounds, num_turns) == (1, [1, 1])  # the turn in flight became whole

    again = LeftGroup.from_plain(json.loads(json.dumps(group.plain())))
    assert again == group
    engine.publish([], version=5)
    ends = EarlyEnd(enough=2, max_rounds=2, left=[again])
    learned, left = played(engine, world, ends, new_dialogs(world, "c", "d", phase="train/1"))
    # it is the oldest, and in its last round: waited for, though others were whole before
    assert [one.group for one in learned] == ["train/0/slow"] * 2 + ["train/1/c"] * 2
    assert {one.turn_versions for one in learned[:2]} == {(4, 5, 5)}
    assert {one.policy_version for one in learned[:2]} == {4}
    same = [replace(one, turn_versions=()) for one in learned[:2]]
    assert same == whole[:2]
    # whole, but too many: it is learned from first in the next round
    (group,) = left
    assert [one.is_done for one in group.members] == [True, True]
    ends = EarlyEnd(enough=1, max_rounds=2, left=left)
    learned, left = played(engine, world, ends, [])
    assert ([one.group for one in learned], left) == (["train/1/d"] * 2, [])
    assert {one.turn_versions for one in learned} == {()}  # one policy has sampled all of it


@pytest.mark.parametrize("forced_answer", [False, True])
def test_a_dialog_goes_on_from_any_turn(world: World, forced_answer: bool) -> None:
    def script(request: GenerationRequest) -> str:
        number = int(request.id.rpartition("/")[2])
        return "red</answer>" if forced_answer and number == 3 else THREE_TURNS[number - 1]

    environment = world.environment(
        tools=[MarkPoints(), *world.environment().tools.values()],
        max_turns=3,
        forced_answer=forced_answer,
    )
    engine = ScriptedEngine(script, world.codec)
    expected, requests = None, []
    for stop_after in (3, 2, 1, 0):
        dialog = environment.start(world.task(), group="g", index=1, seed=5)
        seen = []
        for number in range(3):
            if number == stop_after:
                dialog = environment.go_on(dialog.so_far(policy_version=0), seed=5)
            seen.append(dialog.next_request())
            engine.submit(seen[-1])
            dialog.accept(engine.poll()[0])
        requests.append(seen)
        expected = expected or dialog.rollout()
        assert dialog.rollout() == expected
    assert all(seen == requests[0] for seen in requests)


class CountingZoom(ZoomPoint):
    """In each dialog it tells how often it has been called there."""

    def open(self, task: Any) -> CountingOpen:
        return CountingOpen()


class CountingOpen:
    def __init__(self) -> None:
        self.num_calls = 0

    def fork(self) -> CountingOpen:
        other = CountingOpen()
        other.num_calls = self.num_calls
        return other

    def call(self, arguments: Any, *, scene: Any) -> Observation:
        self.num_calls += 1
        return Observation((f"call {self.num_calls}",))


def test_a_tool_that_remembers_is_not_told_of_calls_that_were_refused(world: World) -> None:
    """Two calls in a turn that may make one are refused as a whole."""
    looks = [ToolCall("search_coordinate", {"coordinate": [x, 20]}) for x in (50, 80)]
    two = render_tool_turn("Look.", *looks)
    zoom = world.zoom()
    counting = CountingZoom(window_px=zoom.window_px, view_px=zoom.view_px)
    environment = world.environment(tools=[counting], max_calls_per_turn=1)
    engine = ScriptedEngine(by_turn([two, ZOOM, ANSWER]), world.codec)
    rollouts = []
    for stop_after in (3, 2, 1):
        dialog = environment.start(world.task(), group="g", index=1, seed=5)
        for number in range(3):
            if number == stop_after:
                dialog = environment.go_on(dialog.so_far(policy_version=0), seed=5)
            engine.submit(dialog.next_request())
            dialog.accept(engine.poll()[0])
        rollouts.append(dialog.rollout())
    assert "it may make 1" in rollouts[0].turns[0].tool_error
    assert "call 1" in rollouts[0].turns[1].observation
    assert rollouts[1] == rollouts[2] == rollouts[0]
