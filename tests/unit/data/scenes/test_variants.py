"""Each variant is read back from its files as it was asked, and a teacher that is never hasty
answers all of it within the turns there are.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig

from tests.builders import answer_turn, rollout
from tests.test_configs import compose_door, options
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.consistency import ReferenceRelativeReward
from vigorl.core.scoring.boxes import find_boxes
from vigorl.core.trace import find_points
from vigorl.data.scenes.draw import COLOURS, LARGE, STRIPES, Scene, SceneSettings, draw_scene
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings, pointing_trace
from vigorl.data.scenes.variants.between import Between
from vigorl.data.scenes.variants.boxes import Boxes, BoxLists
from vigorl.data.scenes.variants.economy import Economy
from vigorl.data.scenes.variants.forms import FORMS, Forms
from vigorl.data.scenes.variants.lists import Lists, Route
from vigorl.data.scenes.variants.shortcut import Shortcut, followed
from vigorl.data.scenes.world import MadeWorld
from vigorl.rollout.tools.draw_line import DrawLine
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

VARIANTS = [
    name
    for name in options("data")
    if name.startswith("made_world") and not name.endswith("_traces")
]
SMALL = SceneSettings(num_clutter=0, num_occluders=0)
TOOL = ZoomPoint(window_px=112, view_px=112)
VIEW = ImageView(FileImage("a.png"), Size(448, 448), Size(112, 112))


@cache
def _data(name: str) -> DictConfig:
    return compose_door("train", f"data={name}").data


def _world(name: str, root: Path) -> MadeWorld:
    made: MadeWorld = instantiate(_data(name))
    few = {"num_train": 6, "num_val": 2, "num_test": 2, "num_traces": 0}
    return replace(made, root=str(root), scene=replace(made.scene, num_clutter=0), **few)


def _asked(world: MadeWorld, split: str, count: int) -> list[tuple[TaskRecord, Scene]]:
    return [
        (world._ask(scene, split, i, "a.png", str(i)), scene)
        for i, scene in world._scenes(split, count, ())
    ]


def _careful(world: MadeWorld) -> ScriptedTeacher:
    names_boxes = world.variant.names_boxes
    tool = ZoomBox(min_window_px=112, view_px=112) if names_boxes else TOOL
    if isinstance(world.variant, Between):
        tool = DrawLine(window_px=112)
    settings = TeacherSettings(0.0, 1.0, 1.0, error_px=0)
    return ScriptedTeacher(settings, tool=tool, names_boxes=names_boxes)  # pyright: ignore


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_survives_its_files_and_can_be_answered(name: str, tmp_path: Path) -> None:
    world = _world(name, tmp_path)
    world.prepare()
    world.prepare()  # the stamp is its own
    splits = world.load()
    assert len(splits.test_tasks) == 2
    for task, (asked, scene) in zip(splits.train_tasks, _asked(world, "train", 6), strict=True):
        assert replace(task, id="", images=(), source="", answer="", options=()) == replace(
            asked, id="", images=(), source="", answer="", options=()
        )
        assert task.scorer == world.variant.scorer.for_answer(asked.scorer.answer_text(task.answer))
        trace = _careful(world).zoom_trace(task, scene, VIEW, random.Random(task.id)).trace
        # boxes are rounded outwards to 4 px of the drawn picture: 44 in 52 is the worst
        right = 0.7 if task.scorer.is_place else 1.0
        assert task.score(trace.answer, view=VIEW) >= right
        looks = 0 if task.scorer.is_place else len(task.targets)
        assert len(trace.steps) == looks + 1 <= 5  # limits.max_turns


def test_thoughts_of_boxes_name_the_box_that_the_tool_is_called_with() -> None:
    scene = draw_scene(SMALL, seed=5)
    world = MadeWorld(root="x", variant=Boxes())
    asked = {"rng": random.Random(0), "comparison_frac": 1.0, "id": "a", "image": "a.png"}
    task = world.variant.ask(scene, **asked)
    assert task.targets == (scene.signs[0].box, scene.signs[-1].box)
    trace = _careful(world).zoom_trace(task, scene, VIEW, random.Random(0)).trace
    for step, sign in zip(trace.steps, (scene.signs[0], scene.signs[-1]), strict=False):
        (box,) = find_boxes(step.think, view=VIEW)
        assert step.tool_call is not None
        assert [*VIEW.box_to_text(box)] == step.tool_call.arguments["bbox"]
        assert box.covers(sign.box)
    exercise = pointing_trace(scene, VIEW, random.Random(0), id="a", names_boxes=True)
    assert len(find_boxes(exercise.trace.steps[0].think, view=VIEW)) == len(scene.signs)


def test_boxes_of_a_list_stand_where_the_thought_says() -> None:
    scene, variant = draw_scene(SMALL, seed=5), BoxLists()
    asked = {"rng": random.Random(0), "comparison_frac": 0.0, "id": "a", "image": "a.png"}
    task = variant.ask(scene, **asked)
    teacher = ScriptedTeacher(TeacherSettings(error_px=40), tool=TOOL)  # pyright: ignore
    trace = teacher.zoom_trace(task, scene, VIEW, random.Random(0)).trace
    (step,) = trace.steps
    points, boxes = find_points(step.think), find_boxes(trace.answer, view=VIEW)
    assert len(points) == len(boxes) == len(task.targets)
    for point, box in zip(points, boxes, strict=True):
        assert VIEW.to_original(point).distance(box.center) <= 8  # two pixels of the text


def test_variants_are_worlds_of_their_own() -> None:
    roots = {_data(name).root for name in VARIANTS}
    assert len(roots) == len(VARIANTS) - 2  # cold and zoom_box differ in their starts alone


def test_a_world_of_another_variant_in_the_same_place_is_refused(tmp_path: Path) -> None:
    world = _world("made_world_economy", tmp_path)
    world.prepare()
    with pytest.raises(ConfigError, match=r"data\.root=.*variant"):
        replace(world, variant=Economy(large_frac=1.0)).prepare()


def test_stripes_of_large_signs_can_be_read_from_afar() -> None:
    scene = Economy(large_frac=1.0).draw(SMALL, seed=3, split="train")
    sign, plain = scene.signs[0], draw_scene(SMALL, seed=3)
    assert sign.is_large
    assert not any(one.is_large for one in (*scene.signs[1:], *plain.signs))
    shrunk = scene.image.resize((112, 112)).convert("L")
    x, y = (int(n) // LARGE for n in (sign.center.x, sign.center.y))
    patch = shrunk.crop((x - 10, y - 10, x - 2, y + 10))  # beside the small panel in its middle
    assert (
        np.ptp(np.asarray(patch)) > 80
    )  # grey levels: STRIPE_CONTRAST to both sides, much of it faded
    task = Economy().ask(scene, rng=random.Random(0), comparison_frac=0.0, id="a", image="a.png")
    assert task.tags == {"size": "large"}
    teacher = ScriptedTeacher(TeacherSettings(), tool=TOOL)  # pyright: ignore
    trace = teacher.single_look_trace(task, scene, VIEW, random.Random(0), grounded=True)
    assert trace.trace.answer == task.answer  # not a guess


def test_the_shortcut_holds_in_training_alone() -> None:
    shares = {}
    for split in ("train", "traces", "val", "test"):
        scenes = [Shortcut().draw(SMALL, seed=i, split=split) for i in range(60)]
        first = [scene.signs[0] for scene in scenes]
        shares[split] = sum(sign.stripes == followed()[sign.colour] for sign in first) / 60
        assert len(Counter(sign.stripes for sign in first)) == len(STRIPES)
    # 0.7 and 0.25 of 60, within 3 standard deviations (0.059 and 0.056)
    assert shares["train"] == shares["traces"] == pytest.approx(0.7, abs=0.18)
    assert shares["val"] == shares["test"] == pytest.approx(0.25, abs=0.17)
    assert set(followed(1)) == set(COLOURS)


def test_lists_name_all_signs_of_a_shape_and_routes_keep_their_order() -> None:
    lengths = Counter[str]()
    for seed in range(60):
        scene = draw_scene(SMALL, seed=seed)
        rng = random.Random(seed)
        task = Lists().ask(scene, rng=rng, comparison_frac=0.5, id="a", image="a.png")
        shape = "disc" if "discs" in task.question else "square"
        wanted = [sign for sign in scene.signs if sign.shape == shape]
        assert {f"{one.name}: {one.stripes}" for one in wanted} == set(task.answer.split("; "))
        route = Route().ask(scene, rng=rng, comparison_frac=0.5, id="a", image="a.png")
        places = [route.question.index(item.split(":")[0]) for item in route.answer.split("; ")]
        assert places == sorted(places)
        assert len(places) == int(route.tags["stops"])
        lengths[route.tags["difficulty"]] += 1
    assert min(lengths[level] for level in ("easy", "middle", "hard")) > 8


def test_the_forms_of_a_question_agree() -> None:
    counts = Counter[str]()
    for seed in range(60):
        scene, rng = draw_scene(SMALL, seed=seed), random.Random(seed)
        task = Forms().ask(scene, rng=rng, comparison_frac=1.0, id="a", image="a.png")
        truth = scene.signs[0].stripes
        counts[f"{task.tags['form']} {task.answer if task.options == ('yes', 'no') else ''}"] += 1
        if task.options == ("yes", "no"):
            assert (task.answer == "yes") == task.question.endswith(f"run {truth}?")
        else:
            assert task.answer == truth
            assert all(one in task.question for one in task.options)
    assert set(counts) == {"yes_no yes", "yes_no no", "options ", "open "}


def test_a_scene_with_too_many_of_a_shape_is_asked_about_the_other() -> None:
    scene = next(
        s
        for s in (draw_scene(SMALL, seed=i) for i in range(99))
        if s.signs[0].shape == "disc" and sum(one.shape == "disc" for one in s.signs) == 3
    )
    question = {"rng": random.Random(0), "comparison_frac": 0.0, "id": "a", "image": "a.png"}
    assert "discs" in Lists(max_items=3).ask(scene, **question).question
    assert "squares" in Lists(max_items=2).ask(scene, **question).question


@pytest.mark.parametrize(
    ("variant", "settings", "named"),
    [
        (Economy, {"large_frac": 1.5}, "large_frac"),
        (Shortcut, {"follow_frac": -0.1}, "follow_frac"),
        (Lists, {"max_items": 0}, "max_items"),
        (Route, {"stops": [3, 2]}, "stops"),
        (Forms, {"forms": ["closed"]}, "forms"),
        (Route, {"stops": [1, 2]}, "stops"),
    ],
)
def test_settings_out_of_range_are_refused(
    variant: type, settings: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        variant(**settings)


def test_a_route_longer_than_the_signs_is_refused() -> None:
    scene = draw_scene(replace(SMALL, num_signs=3), seed=0)
    with pytest.raises(ConfigError, match=r"stops=\[2, 3, 4\] needs 4 signs.*num_signs=3"):
        Route().ask(scene, rng=random.Random(0), comparison_frac=0.0, id="a", image="a.png")


def test_the_twin_is_context_and_no_target() -> None:
    scene = draw_scene(SMALL, seed=5)
    asked = {"rng": random.Random(0), "comparison_frac": 1.0, "id": "a", "image": "a.png"}
    task = Boxes(context_salience=0.25).ask(scene, **asked)
    first, *others = scene.signs
    (twin,) = (sign for sign in others if sign.colour == first.colour)
    assert task.tags == {
        "salience": "1.0; 1.0; 0.25",
        "context": json.dumps(twin.box.as_tuple()),
    }
    assert twin.box not in task.target_boxes


def test_open_questions_bring_a_reference_that_hedges() -> None:
    asked = {"comparison_frac": 0.0, "id": "a", "image": "a.png"}
    scene, rewards = draw_scene(SMALL, seed=5), set[float]()
    for forms in FORMS:
        variant = Forms(forms=(forms,), has_references=True)
        task = variant.ask(scene, rng=random.Random(0), **asked)
        assert ("reference" in task.tags) == (forms == "open")
        for said in (task.answer, task.tags.get("reference", ""), "so"):
            one = rollout(answer_turn(said, think=""), task=task)
            rewards.add(round(ReferenceRelativeReward(slope=4.0)(one), 3))
    assert rewards == {1.0, 0.0, round(1 - math.exp(-2), 3)}


def test_a_line_between_the_named_signs_shows_the_asked_one() -> None:
    scene = Between().draw(SMALL, seed=4, split="train")
    first, twin, last, middle, _ = scene.signs
    assert middle.center.x == (first.center.x + last.center.x) // 2
    assert middle.center.y == (first.center.y + last.center.y) // 2
    task = Between().ask(scene, rng=random.Random(0), comparison_frac=0.0, id="a", image="a.png")
    assert task.answer == middle.stripes
    assert middle.name not in task.question
    assert (first.colour, first.shape) != (twin.colour, twin.shape)
    hasty = ScriptedTeacher(TeacherSettings(1.0, 0.0), tool=DrawLine(window_px=112))
    told = {hasty.zoom_trace(task, scene, VIEW, random.Random(i)).trace.answer for i in range(20)}
    by_twin = twin.center.x < first.center.x
    assert (told == {middle.stripes}) != by_twin


def test_a_scene_without_room_for_a_middle_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_signs=3 must be at least 4"):
        Between().draw(replace(SMALL, num_signs=3), seed=0, split="train")
