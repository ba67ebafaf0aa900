"""Each probe that changes one thing, on a scripted engine: what it shows, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import builders
from tests.unit.rollout.world import ANSWER, OFF_PICTURE, ZOOM, ZOOM_AGAIN, World
from vigorl.core.contrast import Contrast, contrasts_of
from vigorl.core.geometry import Box
from vigorl.core.media import GREY, Edited, Fill, Noise
from vigorl.core.protocols import GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.trace import open_answer, render_answer_turn
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.chain_answer import ChainAnswer
from vigorl.rollout.probes.crop_black import CropBlack
from vigorl.rollout.probes.crop_noise import CropNoise
from vigorl.rollout.probes.crop_other import CropOther
from vigorl.rollout.probes.forced_zoom import ForcedZoom
from vigorl.rollout.probes.last_crop_alone import LastCropAlone
from vigorl.rollout.probes.paired import PairedProbe
from vigorl.rollout.probes.probe import Schedule, ask_probes
from vigorl.rollout.probes.tool_off import ToolOff

ALL = (CropBlack, CropNoise, CropOther, ToolOff, ForcedZoom, LastCropAlone, ChainAnswer)
BLUE = render_answer_turn("It is the disc.", "blue")
FIRST_THOUGHT = open_answer("Something is at (50, 20).")  # that of ZOOM
LOST, KEPT = Contrast(1.0, 0.0, True), Contrast(1.0, 1.0, False)
Script = Callable[[GenerationRequest], str]


def ask(
    engine: ScriptedEngine,
    probes: Sequence[PairedProbe],
    rollouts: Sequence[Rollout],
    environment: Environment,
    schedule: Schedule | None = None,
) -> list[Rollout]:
    return ask_probes(
        lambda dialogs: collect(engine, dialogs, phase="val, probes").rollouts,
        probes,
        rollouts,
        environment=environment,
        schedule=schedule,
    )


class Asked:
    """Rollouts of a script, probed, with the requests of the probes."""

    def __init__(
        self,
        world: World,
        probe: PairedProbe,
        script: Script,
        *,
        tasks: Sequence[TaskRecord] = (),
        environment: Environment | None = None,
    ) -> None:
        self.requests: list[GenerationRequest] = []

        def noting(request: GenerationRequest) -> str:
            self.requests.append(request)
            return script(request)

        engine = ScriptedEngine(noting, world.codec)
        environment = environment or world.environment(temperature=0.0)
        dialogs = build_dialogs(
            environment, tasks or [world.task()], group_size=1, phase="val", run_seed=0
        )
        alone = collect(engine, dialogs, phase="val").rollouts
        self.requests.clear()
        self.rollouts = ask(engine, [probe], alone, environment)
        assert [replace(one, probes={}) for one in self.rollouts] == alone

    @property
    def found(self) -> list[Contrast | None]:
        return [contrasts_of(one.probes).get(self._name) for one in self.rollouts]

    @property
    def _name(self) -> str:
        return next((n for one in self.rollouts for n in contrasts_of(one.probes)), "")


def is_probe(request: GenerationRequest) -> bool:
    return request.id.count("/") > 3  # val/task/probe/0/turn


def zooms_then(answer: Script, *, first: str = ZOOM) -> Script:
    return lambda request: first if turn_number(request) == 1 else answer(request)


def told(world: World, request: GenerationRequest) -> str:
    return world.codec.decode(request.prompt_ids)


def test_a_greedy_rollout_is_its_own_other_side_and_a_sampled_one_is_asked_again(
    world: World,
) -> None:
    script = zooms_then(lambda request: BLUE if is_probe(request) else ANSWER)
    greedy = Asked(world, CropBlack(), script)
    assert (len(greedy.requests), greedy.found) == (1, [LOST])
    sampled = Asked(world, CropBlack(), script, environment=world.environment())
    # the rollout's own answer was sampled: both greedy ones are wrong
    assert (len(sampled.requests), sampled.found) == (2, [Contrast(0.0, 0.0, False)])
    assert {one.sampling.temperature for one in sampled.requests} == {0.0}


def test_crops_of_noise(world: World) -> None:
    def sees(request: GenerationRequest) -> str:
        return BLUE if isinstance(request.views[-1].source, Edited) else ANSWER

    two = Asked(
        world,
        CropNoise(),
        lambda request: ZOOM if turn_number(request) < 3 else sees(request),
    )
    assert two.found == [LOST]
    (request,) = two.requests
    marks = [view.source.marks for view in request.views[1:] if isinstance(view.source, Edited)]
    boxes = [view.box for view in request.views[1:]]
    assert [mark.box for (mark,) in marks if isinstance(mark, Noise)] == boxes
    assert marks[0] != marks[1]  # other noise on the same place
    assert request.views[0] == two.rollouts[0].prompt_views[0]
    again = Asked(world, CropNoise(), zooms_then(sees)).requests[0]
    assert again.views[1] == request.views[1]
    other = Asked(world, CropNoise(seed=1), zooms_then(sees)).requests[0]
    assert other.views[1] != request.views[1]


def tasks_of(world: World, folder: Path, *sizes: tuple[int, int]) -> list[TaskRecord]:
    tasks = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}.png"
        Image.new("RGB", size, (0, 80 * number, 0)).save(path)
        tasks.append(replace(world.task(f"t{number}"), images=(str(path),)))
    return tasks


def test_crops_of_the_next_other_picture_that_is_large_enough(world: World, tmp_path: Path) -> None:
    tasks = tasks_of(world, tmp_path, (448, 448), (448, 448), (56, 56), (896, 448))
    tasks.insert(1, replace(tasks[0], id="same picture"))

    def reads(request: GenerationRequest) -> str:
        return ANSWER if request.views[-1].path == request.views[0].path else BLUE

    asked = Asked(world, CropOther(), zooms_then(reads), tasks=tasks)
    assert asked.found == [LOST] * 5
    shown = [Path(one.views[-1].path).name for one in asked.requests]
    assert shown == ["1.png", "1.png", "3.png", "3.png", "0.png"]  # none of 2.png: 56 px of 112
    first, own = asked.requests[0].views[-1], asked.rollouts[0].shown[0]
    assert (first.box, first.size) == (own.box, own.size)  # the other one looked there as well
    small = asked.requests[3].views[-1]
    assert small.box is not None
    assert small.size == asked.rollouts[3].shown[0].size
    assert small.box.right - small.box.left == 56
    alone = Asked(world, CropOther(), zooms_then(reads), tasks=tasks[:2])
    assert (alone.found, alone.requests) == ([None, None], [])  # no other picture


def test_more_crops_than_the_other_has(world: World, tmp_path: Path) -> None:
    tasks = tasks_of(world, tmp_path, (448, 448), (448, 448))

    def script(request: GenerationRequest) -> str:
        turns = [ZOOM, ZOOM_AGAIN, ANSWER] if "/t0/" in request.id else [ZOOM, ANSWER]
        return turns[turn_number(request) - 1]

    asked = Asked(world, CropOther(), script, tasks=tasks)
    of_first, of_second = (one.views[1:] for one in asked.requests)
    assert of_first == asked.rollouts[1].shown * 2
    assert of_second == asked.rollouts[0].shown[:1]


def test_an_answer_in_place_of_the_first_call(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        return " blue </answer>" if is_probe(request) else zooms_then(lambda _: ANSWER)(request)

    asked = Asked(world, ToolOff(), script)
    assert asked.found == [LOST]
    (request,) = asked.requests
    assert request.views == asked.rollouts[0].prompt_views
    assert told(world, request).endswith(FIRST_THOUGHT)
    assert Asked(world, ToolOff(), lambda _: ANSWER).requests == []  # it called nothing


def test_each_look_is_moved_onto_a_target_and_the_words_stay_its_own(world: World) -> None:
    task = replace(world.task(), targets=(builders.DISC, Box(380, 380, 400, 400)))
    look_on = builders.call_text(7, 8, think="From (1, 2) on. More is at (7, 8).")

    def script(request: GenerationRequest) -> str:
        number = turn_number(request)
        if number == 1:
            return BLUE if is_probe(request) else OFF_PICTURE  # even an answer becomes a look
        if number in (2, 3):
            return look_on
        return ANSWER if request.views[1:3] == (disc, other) else BLUE

    disc, other = world.crop_of(200, 80), world.crop_of(390, 390)
    asked = Asked(world, ForcedZoom(), script, tasks=[task])
    assert asked.found == [Contrast(0.0, 1.0, True)]
    last = asked.requests[-1]
    assert last.views == (asked.rollouts[0].prompt_views[0], disc, other, world.crop_of(28, 32))
    words = told(world, last)
    at_disc = builders.call_text(50, 20, think="It is the disc.")
    at_other = builders.call_text(98, 98, think="From (1, 2) on. More is at (98, 98).")  # 390 / 4
    assert [words.count(text) for text in (at_disc, at_other, look_on)] == [1, 1, 1]


def test_looks_that_cannot_be_moved_stay(world: World) -> None:
    def requests(task: TaskRecord, text: str = ZOOM_AGAIN, **settings: Any) -> list[Any]:
        environment = world.environment(temperature=0.0, **settings)
        script = zooms_then(lambda _: ANSWER, first=text)
        return Asked(world, ForcedZoom(), script, tasks=[task], environment=environment).requests

    task = world.task()
    assert requests(replace(task, targets=())) == []
    assert requests(task, ANSWER, tools=[], max_turns=1) == []
    num_ids = len(world.codec.completion_ids("<think> </think>"))
    (cut,) = requests(task, max_new_tokens=num_ids)  # no whole turn fits
    assert turn_number(cut) == 1
    (short,) = requests(task, "x", max_new_tokens=num_ids)  # nor does the look that it would be
    assert turn_number(short) == 1
    _, after = requests(task)
    assert after.views[1] == world.crop_of(200, 80)


def test_the_question_with_the_last_look_alone(world: World) -> None:
    task = replace(world.task(), question="In <image> and <image>?", images=(world.picture,) * 2)

    def script(request: GenerationRequest) -> str:
        return ANSWER if is_probe(request) else (ZOOM, ZOOM_AGAIN, BLUE)[turn_number(request) - 1]

    asked = Asked(world, LastCropAlone(), script, tasks=[task])
    assert asked.found == [Contrast(0.0, 1.0, True)]
    (request,), own = asked.requests, asked.rollouts[0]
    assert list(request.views[:2]) == [view.edited(Fill(rgb=GREY)) for view in own.prompt_views]
    assert request.views[2:] == own.shown[1:]
    words = told(world, request)
    assert builders.call_text(90, 90, think="Something is at (50, 20).") in words  # the first's
    assert "Something is at (90, 90)" not in words
    assert words.endswith(world.codec.decode(own.turns[1].observation_ids))


def test_the_answer_of_the_chain_without_pictures(world: World) -> None:
    said = render_answer_turn("It is plainly red.", "red")

    def script(request: GenerationRequest) -> str:
        return " red </answer>" if is_probe(request) else zooms_then(lambda _: said)(request)

    asked = Asked(world, ChainAnswer(), script)
    assert asked.found == [KEPT]
    (request,) = asked.requests
    words = told(world, request)
    assert words.endswith("<think> It is plainly red. </think>\n<answer>")
    own = asked.rollouts[0]
    assert words.startswith(world.codec.decode([*own.prompt_ids, *own.turns[0].completion_ids]))
    assert list(request.views) == [view.edited(Fill(rgb=GREY)) for view in own.views]
    sampled = Asked(world, ChainAnswer(), script, environment=world.environment())
    seen, grey = sampled.requests
    assert seen.prompt_ids == grey.prompt_ids
    assert seen.views == own.views


@pytest.mark.parametrize("probe", ALL)
def test_of_a_rollout_without_call_and_answer_only_looks_can_be_forced(
    world: World, probe: type[PairedProbe]
) -> None:
    asked = Asked(world, probe(), lambda _: "no tags")
    assert bool(asked.requests) == (probe is ForcedZoom)


def test_all_may_ask_at_once_about_several_rollouts_of_a_question(world: World) -> None:
    environment = world.environment()
    engine = ScriptedEngine(zooms_then(lambda _: ANSWER), world.codec)
    dialogs = build_dialogs(environment, [world.task()], group_size=2, phase="val", run_seed=0)
    rollouts = collect(engine, dialogs, phase="val").rollouts
    probes = [kind() for kind in ALL]
    found = ask(engine, probes, rollouts, environment)
    asked = {kind.name for kind in ALL} - {CropOther.name}  # both are about one picture
    assert [set(contrasts_of(one.probes)) for one in found] == [asked] * 2


def test_a_schedule_given_is_in_place_of_the_probes_own(world: World) -> None:
    environment = world.environment(temperature=0.0)
    tasks = [world.task(name) for name in "abcd"]
    engine = ScriptedEngine(zooms_then(lambda _: ANSWER), world.codec)
    dialogs = build_dialogs(environment, tasks, group_size=1, phase="val", run_seed=0)
    rollouts = collect(engine, dialogs, phase="val").rollouts
    one = CropBlack(schedule=Schedule(num_rollouts=1))
    found = ask(engine, [one], rollouts, environment, Schedule(num_rollouts=2))
    assert [bool(one.probes) for one in found] == [True, False, True, False]
