"""Worlds that rewards of structured answers are for: what a perfect teacher says is worth all."""

import random
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import answer_turn, rollout, turn, view
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Reward
from vigorl.core.rewards.detection import AveragePrecisionReward, DetectionIoUReward
from vigorl.core.rewards.dual_iou import DualIoUReward, SalientIoUReward
from vigorl.core.rewards.matched_set import MatchedSetReward
from vigorl.core.rewards.places import per_target
from vigorl.core.rewards.scene_list import DescriptionReward
from vigorl.core.rewards.structured import (
    DetailReward,
    PartialCreditReward,
    ShareOfItemsReward,
    read_items,
)
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.data.scenes.redraw import RenderReward, bars_of, draw_chart
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings, pointing_trace
from vigorl.data.scenes.variants.boxes import Boxes, BoxLists
from vigorl.data.scenes.variants.charts import Charts
from vigorl.data.scenes.variants.lists import Lists, Route
from vigorl.data.scenes.variants.pointing import Pointing
from vigorl.data.scenes.variants.variant import Variant
from vigorl.data.scenes.world import MadeWorld
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint


def test_the_exercise_that_the_start_knows_is_worth_all():
    scene = draw_scene(SceneSettings(num_clutter=0, num_occluders=0), seed=5)
    task = Pointing().ask(scene, rng=random.Random(0), comparison_frac=1.0, id="a", image="a.png")
    assert len(per_target(task, "labels", "x")) == len(task.targets) == len(scene.signs)
    trace = pointing_trace(scene, view(), random.Random(1), id="b").trace
    one = rollout(answer_turn(trace.answer, think=trace.steps[0].think), task=task)
    assert one.score == 1.0
    assert DescriptionReward(where="thoughts")(one) == 1.0
    points = MatchedSetReward(kind="points", where="thoughts")(one)
    drawn = RenderReward(where="thoughts")(one)
    assert points > 0.95  # a place of the text is four pixels wide
    assert 0.9 < drawn < 1

    first, *rest = scene.signs
    short = rollout(answer_turn(think=f"The {first.name} is at (0, 0). {len(rest)}"), task=task)
    assert DescriptionReward(where="thoughts")(short) == 0.0


def test_a_chart_that_is_read_right_is_the_picture_again(tmp_path: Path):
    few = {"num_train": 3, "num_val": 1, "num_test": 1}
    world = MadeWorld(root=str(tmp_path), variant=Charts(), **few)
    world.prepare()
    for task in world.load().train_tasks:
        one = rollout(answer_turn(task.answer), task=task)
        assert one.score == RenderReward(kind="chart")(one) == 1.0
        bars = bars_of(read_items(task.answer))
        with Image.open(task.images[0]) as drawn:
            assert drawn.convert("RGB") == draw_chart(bars, names=tuple(bars), top=10)
    with pytest.raises(ConfigError, match=r"data\.variant\.num_bars must be the fewest"):
        Charts(num_bars=(3, 2))


CAREFUL = TeacherSettings(hasty_frac=0.0, look_again_frac=1.0, look_at_second_frac=1.0, error_px=0)
BOX_TOOL = ZoomBox(min_window_px=112, view_px=112)
POINT_TOOL = ZoomPoint(window_px=112, view_px=112)


@pytest.mark.parametrize(
    ("variant", "reward"),
    [
        (Boxes(), DualIoUReward()),
        (Boxes(context_salience=0.0), SalientIoUReward()),
        (BoxLists(), DetectionIoUReward()),
        (BoxLists(), AveragePrecisionReward()),
        (BoxLists(), MatchedSetReward()),
        (Lists(), PartialCreditReward()),
        (Lists(), ShareOfItemsReward()),
        (Route(), DetailReward()),
    ],
)
def test_a_perfect_teacher_is_paid_in_full(variant: Variant, reward: Reward):
    scene = draw_scene(SceneSettings(num_clutter=0, num_occluders=0), seed=7)
    rng = random.Random(0)
    task = variant.ask(scene, rng=rng, comparison_frac=1.0, id="a", image="a.png")
    tool = BOX_TOOL if variant.names_boxes else POINT_TOOL
    teacher = ScriptedTeacher(CAREFUL, tool=tool, names_boxes=variant.names_boxes)
    turns = [turn(text) for text in teacher.zoom_trace(task, scene, view(), rng).trace.turns()]
    worth = reward(rollout(*turns, task=task))
    assert (
        worth == 1.0
        if isinstance(variant, Lists | Route) and not variant.names_boxes
        else (
            0.75 < worth <= 1  # corners in the text are rounded outwards to its four pixels
        )
    )
    silent = rollout(answer_turn("no", think=""), task=task)
    assert reward(silent) <= 0.0
