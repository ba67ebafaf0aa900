from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from tests.unit.rollout.world import ANSWER, OFF_PICTURE, ZOOM, World
from vigorl.core.errors import EngineError
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Completion,
    GenerationRequest,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.rollout import Rollout, StopReason
from vigorl.core.trace import ToolCall, render_tool_turn
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn, turn_number

THREE_TURNS = [ZOOM, OFF_PICTURE, ANSWER]


class DyingEngine:
    """Finishes one request per poll, then dies."""

    policy_version, num_in_flight, last_publish = 0, 0, None

    def __init__(self, world: World, *, polls: int) -> None:
        self.world, self.polls, self.queue = world, polls, []

    def submit(self, request: GenerationRequest) -> None:
        self.queue.append(request)

    def poll(self) -> list[Completion]:
        if self.polls == 0:
            raise EngineError("out of memory")
        self.polls -= 1
        ids = tuple(self.world.codec.completion_ids(ANSWER))
        return [Completion(self.queue.pop(0).id, ids, (-1.0,) * len(ids), is_finished=True)]

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None: ...

    def cancel(self, request_ids: Iterable[str]) -> None: ...

    def sleep(self) -> None: ...


def dialogs_of(world: World, num_tasks: int = 3, group_size: int = 2) -> list[Any]:
    tasks = [world.task(f"t{i}") for i in range(num_tasks)]
    return build_dialogs(
        world.environment(), tasks, group_size=group_size, phase="train/0", run_seed=7
    )


def test_rollouts_come_back_in_the_order_of_the_dialogs(world: World) -> None:
    engine = ScriptedEngine(
        by_turn(THREE_TURNS), world.codec, delay=lambda request: request.seed % 5, shuffle_seed=3
    )
    engine.publish([], version=4)
    done: list[Rollout] = []
    result = collect(engine, dialogs_of(world), phase="train/0", on_done=done.append)
    names = [(rollout.group, rollout.index) for rollout in result.rollouts]
    assert names == [(f"train/0/t{i}", j) for i in range(3) for j in range(2)]
    assert {rollout.stop_reason for rollout in done} == {StopReason.ANSWERED}
    assert sorted(map(id, done)) == sorted(map(id, result.rollouts))
    assert {rollout.policy_version for rollout in done} == {4}
    num_sampled = sum(sum(rollout.loss_mask) for rollout in result.rollouts)
    assert result.num_new_tokens == num_sampled
    assert 0 < result.engine_s <= result.wall_s


def test_what_follows_a_rollout_is_run_too(world: World) -> None:
    environment = world.environment()

    def then(rollout: Rollout) -> list[Any]:
        if rollout.index == 2 or rollout.group == "b":
            return []
        number = rollout.index + 1
        return [environment.start(world.task(), group=rollout.group, index=number, seed=number)]

    first = [environment.start(world.task(), group=name, index=0, seed=0) for name in "ab"]
    engine = ScriptedEngine(by_turn(THREE_TURNS), world.codec)
    result = collect(engine, first, phase="web", then=then)
    names = [(rollout.group, rollout.index) for rollout in result.rollouts]
    assert names == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
    assert engine.num_in_flight == 0


def test_no_dialog_waits_for_a_slow_one(world: World) -> None:
    order: list[str] = []

    def delay(request: GenerationRequest) -> int:
        order.append(request.id)
        return 10 if request.id == "train/0/t0/0/1" else 0

    engine = ScriptedEngine(by_turn(THREE_TURNS), world.codec, delay=delay)
    done: list[str] = []
    collect(
        engine,
        dialogs_of(world),
        phase="train/0",
        on_done=lambda rollout: done.append(f"{rollout.group}/{rollout.index}"),
    )
    assert done[-1] == "train/0/t0/0"
    # every other dialog had asked for its last turn before the slow one got past its first
    assert order.index("train/0/t2/1/3") < order.index("train/0/t0/0/2")
    # ticks: 11 for the slow first turn and 2 for its other turns; nobody else adds any
    assert engine.num_ticks == 13


def test_the_schedule_does_not_change_the_rollouts(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        return THREE_TURNS[min(turn_number(request) - 1 + request.seed % 2, 2)]

    plain = collect(ScriptedEngine(script, world.codec), dialogs_of(world), phase="p").rollouts
    odd = ScriptedEngine(script, world.codec, delay=lambda r: r.seed % 7, shuffle_seed=1)
    assert collect(odd, dialogs_of(world), phase="p").rollouts == plain


def test_a_dead_engine_names_the_phase_and_how_far_it_came(world: World) -> None:
    with pytest.raises(EngineError, match=r"phase eval: .* 2 of 6 rollouts .*: out of memory"):
        collect(DyingEngine(world, polls=2), dialogs_of(world), phase="eval")


def test_an_engine_that_returns_nothing_does_not_hang_the_run(world: World) -> None:
    engine = DyingEngine(world, polls=0)
    engine.poll = lambda: []  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="returned nothing while 6 requests wait"):
        collect(engine, dialogs_of(world), phase="eval")


def test_a_task_drawn_twice_gets_two_groups_with_different_noise(world: World) -> None:
    dialogs = build_dialogs(
        world.environment(), [world.task()] * 2, group_size=2, phase="p", run_seed=0
    )
    assert [dialog.group for dialog in dialogs] == ["p/disc", "p/disc", "p/disc#2", "p/disc#2"]
    assert len({dialog.next_request().seed for dialog in dialogs}) == 4


def test_ranks_share_the_dialogs_of_one_process(world: World) -> None:
    tasks = [world.task(name) for name in "aabab"]

    def dialogs(**ranks: int) -> list[tuple[str, int]]:
        found = build_dialogs(
            world.environment(), tasks, group_size=2, phase="p", run_seed=0, **ranks
        )
        return [(dialog.group, dialog.next_request().seed) for dialog in found]

    alone = dialogs()
    pairs = [alone[i : i + 2] for i in range(0, 10, 2)]
    assert dialogs(rank=0, num_ranks=2) == [*pairs[0], *pairs[2], *pairs[4]]
    assert dialogs(rank=1, num_ranks=2) == [*pairs[1], *pairs[3]]


def test_a_task_drawn_on_two_ranks_gets_two_groups_with_different_noise(world: World) -> None:
    one_prompt_twice = [world.task()] * 2
    ranks = [
        build_dialogs(
            world.environment(),
            one_prompt_twice,
            group_size=2,
            phase="p",
            run_seed=0,
            rank=rank,
            num_ranks=2,
        )
        for rank in (0, 1)
    ]
    assert [[dialog.group for dialog in one] for one in ranks] == [["p/disc"] * 2, ["p/disc#2"] * 2]
    assert len({dialog.next_request().seed for one in ranks for dialog in one}) == 4


def test_seeds_follow_from_run_phase_task_and_index(world: World) -> None:
    def seeds(phase: str, run_seed: int) -> list[int]:
        dialogs = build_dialogs(
            world.environment(), [world.task()], group_size=2, phase=phase, run_seed=run_seed
        )
        return [dialog.next_request().seed for dialog in dialogs]

    assert seeds("train/0", 1) == seeds("train/0", 1)
    assert len({*seeds("train/0", 1), *seeds("train/1", 1), *seeds("train/0", 2)}) == 6


class SlowService(StatelessTool):
    """Answers the second dialog at once, and the first after it is told to."""

    name, spec = "look", ToolSpec((Argument("text", ArgumentKind.TEXT),), purpose="a", reply="b")

    def __init__(self) -> None:
        self.asked: dict[str, Future[str]] = {}

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[str]:
        text = str(arguments["text"])
        if text == "bad":
            raise ToolError("bad words")
        answer = self.asked.setdefault(text, Future())
        if text == "quick" and not answer.done():
            answer.set_result(text)
        return answer

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        return Observation((self.ask_ahead(arguments, scene=scene).result(timeout=0),))


def test_a_dialog_that_waits_for_a_service_holds_up_no_other(world: World) -> None:
    tool = SlowService()
    environment = world.environment(tools=[tool])
    texts = ["slow", "quick", "bad"]
    dialogs = [
        environment.start(world.task(), group=text, index=0, seed=n) for n, text in enumerate(texts)
    ]
    done: list[str] = []

    def script(request: GenerationRequest) -> str:
        call = render_tool_turn("Look.", ToolCall("look", {"text": request.id.split("/")[0]}))
        return ANSWER if turn_number(request) == 2 else call

    def on_done(rollout: Rollout) -> None:
        done.append(rollout.group)
        if len(done) == 2:  # the others are through
            tool.asked["slow"].set_result("at last")

    engine = ScriptedEngine(script, world.codec)
    result = collect(engine, dialogs, phase="train/0", on_done=on_done)
    assert done == ["quick", "bad", "slow"]
    assert [rollout.group for rollout in result.rollouts] == texts
    assert [rollout.turns[0].observation.splitlines()[1] for rollout in result.rollouts] == [
        "at last",
        "quick",
        "bad words",
    ]
    assert [rollout.num_tool_errors for rollout in result.rollouts] == [0, 0, 1]


def test_for_a_turn_that_is_refused_nobody_is_asked(world: World) -> None:
    tool = SlowService()
    calls = [ToolCall("look", {"text": text}) for text in ("one", "two")]

    def script(request: GenerationRequest) -> str:
        return ANSWER if turn_number(request) == 2 else render_tool_turn("Look.", *calls)

    dialog = world.environment(tools=[tool]).start(world.task(), group="a", index=0, seed=1)
    result = collect(ScriptedEngine(script, world.codec), [dialog], phase="train/0")
    assert result.rollouts[0].num_tool_errors == 1
    assert tool.asked == {}
